import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Log } from '../executors/define.js'
import type { Renewer, TimedLease } from './renewer.js'
import { renewInThread } from './renewer-thread.js'

const lease = (step_id: string): TimedLease => ({
  step_id,
  token: 't',
  seconds: 12,
  since: performance.now(),
})
const error = vi.fn()
const log: Log = { debug() {}, info() {}, warn() {}, error }
let renewer: Renewer

afterEach(() => renewer.close())

describe('a thread that fails', () => {
  it('is told of, and what is held is renewed without it', async () => {
    const instead = { hold: vi.fn(), drop: vi.fn(), catchUp: vi.fn(), close: vi.fn() }
    const make = renewInThread({ databaseUrl: 'nowhere' }, () => instead, log)
    renewer = make({ onRenewed() {}, onLost() {} })
    const [dropped, kept, late] = [lease('dropped'), lease('kept'), lease('late')]
    renewer.hold([dropped, kept])
    renewer.drop(dropped)
    await vi.waitFor(() => expect(instead.hold.mock.calls).toEqual([[[kept]]]), 20_000)
    expect(error).toHaveBeenCalledExactlyOnceWith(expect.stringMatching(/without a thread.*DATABASE_URL/))
    renewer.hold([late])
    renewer.drop(late)
    expect(instead.hold).toHaveBeenLastCalledWith([late])
    expect(instead.drop).toHaveBeenLastCalledWith(late)
  })
})

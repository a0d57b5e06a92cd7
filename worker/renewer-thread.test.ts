import { randomUUID } from 'node:crypto'
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import type { Log } from '../executors/define.js'
import { freshDatabase, urlFor } from '../test/support/database.js'
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

it('starts with the first lease, and not with a claim that found nothing', async () => {
  const started = vi.fn()
  process.on('worker', started)
  onTestFinished(() => void process.off('worker', started))
  renewer = renewInThread({ databaseUrl: 'nowhere' }, vi.fn(), log)({ onRenewed() {}, onLost() {} })
  renewer.hold([])
  await new Promise(setImmediate)
  expect(started).not.toHaveBeenCalled()
  renewer.hold([{ ...lease('long'), seconds: 300 }])
  await new Promise(setImmediate)
  expect(started).toHaveBeenCalledOnce()
})

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

it('what has come of age is asked for, save what was dropped, and what is young is not', async () => {
  const database = await freshDatabase()
  const of = (age: number): TimedLease => ({
    step_id: randomUUID(),
    token: randomUUID(),
    seconds: 300,
    since: performance.now() - age * 1000,
  })
  const lost: string[] = []
  const make = renewInThread({ databaseUrl: urlFor(database, 'ops_worker'), maxConnections: 1 }, vi.fn(), log)
  renewer = make({ onRenewed() {}, onLost: ({ step_id, token }) => lost.push(`${step_id} ${token}`) })
  // Nobody has ever heard of these steps: whoever is asked for is lost.
  const young = [of(0), of(0)]
  const old = [of(100), of(100), of(100)]
  const older = of(200)
  renewer.hold(young)
  renewer.hold(old)
  for (const lease of [...old.slice(1, 2), ...young.slice(0, 1)]) renewer.drop(lease)
  await vi.waitFor(() => expect(lost).toHaveLength(2), 20_000)
  renewer.hold([older])
  await vi.waitFor(() => expect(lost).toHaveLength(3), 20_000)
  const expected = [...old.slice(0, 1), ...old.slice(2), older]
  expect(lost).toEqual(expected.map(({ step_id, token }) => `${step_id} ${token}`))
  await database.drop()
}, 30_000)

it('a lease that is long comes of age within half a minute: a step that was cancelled is not to go on for long', async () => {
  const database = await freshDatabase()
  const onLost = vi.fn()
  const make = renewInThread({ databaseUrl: urlFor(database, 'ops_worker'), maxConnections: 1 }, vi.fn(), log)
  renewer = make({ onRenewed() {}, onLost })
  const since = performance.now() - 31_000
  renewer.hold([{ step_id: randomUUID(), token: randomUUID(), seconds: 86_400, since }])
  await vi.waitFor(() => expect(onLost).toHaveBeenCalledOnce(), 20_000)
  await database.drop()
}, 30_000)

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { OpsError } from '../engine/index.js'
import type { Log } from '../executors/define.js'
import { rideOut } from './ride-out.js'

const away = () => new OpsError('OPS_001', 'away', { cause: { code: 'ECONNREFUSED' } })

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function setUp(giveUpAfterMs?: number) {
  const warnings: string[] = []
  const warn = (fields: object | string, message?: string) =>
    void warnings.push(message ?? JSON.stringify(fields))
  const log: Log = { debug() {}, info() {}, warn, error() {} }
  const stopping = new AbortController()
  const ask = vi.fn<() => Promise<string>>(() => Promise.reject(away()))
  const ended = vi.fn()
  const riding = rideOut('claim steps', ask, { log, signal: stopping.signal, giveUpAfterMs })
  riding.then(ended, ended)
  return { ask, ended, riding, stopping, warnings }
}

const seconds = (n: number) => vi.advanceTimersByTimeAsync(n * 1000)

describe('a database that is away', () => {
  it('is asked again for as long as it takes, soon at first and then every few seconds', async () => {
    const { ask, ended, riding, warnings } = setUp()
    await seconds(1)
    expect(ask.mock.calls.length).toBeGreaterThan(2)
    await seconds(3599)
    // No hot loop: at least 2.5 s lie between two calls, once the first are over.
    expect(ask.mock.calls.length).toBeLessThan(3600 / 2.5 + 10)
    expect(ask.mock.calls.length).toBeGreaterThan(3600 / 5)
    expect(ended).not.toHaveBeenCalled()
    expect(warnings[0]).toBe('cannot claim steps: away')
    ask.mockResolvedValue('steps')
    await seconds(5)
    expect(await riding).toBe('steps')
  })

  it('is given up after a while by who has not all the time', async () => {
    const { ask, ended } = setUp(60_000)
    await seconds(59)
    expect(ended).not.toHaveBeenCalled()
    await seconds(6)
    expect(ended).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ message: 'away' }))
    const asked = ask.mock.calls.length
    await seconds(60)
    expect(ask).toHaveBeenCalledTimes(asked)
  })

  it('is not waited for by who has to leave', async () => {
    const { ask, ended, stopping } = setUp()
    await seconds(30)
    const asked = ask.mock.calls.length
    stopping.abort()
    await seconds(0)
    expect(ended).toHaveBeenCalledOnce()
    expect(ask).toHaveBeenCalledTimes(asked)
  })
})

it('what waiting cannot mend is not asked again', async () => {
  const log: Log = { debug() {}, info() {}, warn() {}, error() {} }
  const ask = vi.fn(() => Promise.reject(new OpsError('OPS_012', 'not yours')))
  const { signal } = new AbortController()
  await expect(rideOut('claim steps', ask, { log, signal })).rejects.toThrow('not yours')
  expect(ask).toHaveBeenCalledOnce()
})

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Lease, OpsError, type RenewedStep } from '../engine/index.js'
import type { Log } from '../executors/define.js'
import { Leases } from './leases.js'
import { RenewalLoop } from './renewer.js'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }
const away = () => new OpsError('OPS_001', 'away', { cause: { code: 'ECONNREFUSED' } })

type Renewal = RenewedStep['outcome'] | Error

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function setUp(respond: (stepId: string) => Renewal = () => 'ok') {
  const calls: { steps: string[]; seconds: number | undefined; at: number }[] = []
  const lost: string[] = []
  const began = performance.now()
  const engine = {
    async renewSteps(leases: readonly Lease[], seconds?: number): Promise<RenewedStep[]> {
      calls.push({ steps: leases.map((lease) => lease.step_id), seconds, at: performance.now() - began })
      return leases.map(({ step_id }) => {
        const outcome = respond(step_id)
        if (outcome instanceof Error) throw outcome
        return { step_id, outcome, lease_expires_at: null }
      })
    },
  }
  const leases = new Leases((events) => new RenewalLoop(engine, silent, events))
  const hold = (step_id: string, seconds = 30, token = 'token') =>
    leases.hold([
      { step_id, token, seconds, since: performance.now(), onLost: () => lost.push(`${step_id}/${token}`) },
    ])
  const holds = (step_id: string, token = 'token') => leases.holds({ step_id, token })
  return { leases, calls, lost, hold, holds }
}

const seconds = (n: number) => vi.advanceTimersByTimeAsync(n * 1000)

describe('leases', () => {
  it('are renewed after a third of their time, all that are due in one call', async () => {
    const { calls, hold } = setUp()
    hold('a')
    hold('b')
    await seconds(21)
    expect(calls).toEqual([
      { steps: ['a', 'b'], seconds: 30, at: 10_000 },
      { steps: ['a', 'b'], seconds: 30, at: 20_000 },
    ])
  })

  it('that are long are renewed every half minute: a step that was cancelled is not to go on for long', async () => {
    const { calls, hold } = setUp()
    hold('a', 3600)
    await seconds(91)
    expect(calls.map(({ at }) => at)).toEqual([30_000, 60_000, 90_000])
  })

  it('of different length are renewed in different calls', async () => {
    const { calls, hold } = setUp()
    hold('long', 60)
    await seconds(10)
    hold('short', 30)
    await seconds(11)
    expect(calls.map(({ steps, seconds }) => [steps, seconds])).toEqual([
      [['long'], 60],
      [['short'], 30],
    ])
  })

  it('are not renewed once they are dropped', async () => {
    const { leases, calls, hold, lost } = setUp()
    hold('a')
    leases.drop({ step_id: 'a', token: 'token' })
    await seconds(100)
    expect([calls, lost]).toEqual([[], []])
  })

  it('that are answered lost are reported at once', async () => {
    const { hold, holds, lost, calls } = setUp((step) => (step === 'a' ? 'lost' : 'ok'))
    hold('a')
    hold('b')
    await seconds(10)
    expect(lost).toEqual(['a/token'])
    expect([holds('a'), holds('b')]).toEqual([false, true])
    await seconds(10)
    expect(calls.at(-1)?.steps).toEqual(['b'])
  })

  it('that are busy are asked for again soon', async () => {
    const answers: Renewal[] = ['busy', 'ok']
    const { calls, hold, lost } = setUp(() => answers.shift() ?? 'ok')
    hold('a')
    await seconds(11)
    expect(calls.map(({ at }) => at)).toEqual([10_000, 10_500])
    expect(lost).toEqual([])
  })

  it('survive a database that is away for less than they last', async () => {
    let isAway = true
    const { hold, holds, lost } = setUp(() => (isAway ? away() : 'ok'))
    hold('a')
    await seconds(24)
    isAway = false
    await seconds(60)
    expect([lost, holds('a')]).toEqual([[], true])
  })

  it('are reported lost when they end before they could be renewed', async () => {
    const { hold, holds, lost } = setUp(() => away())
    hold('a')
    await seconds(29)
    expect(lost).toEqual([])
    await seconds(1)
    expect([lost, holds('a')]).toEqual([['a/token'], false])
  })

  it('are reported lost on time when the renewal hangs', async () => {
    const lost: string[] = []
    const hanging = { renewSteps: () => new Promise<never>(() => {}) }
    const leases = new Leases((events) => new RenewalLoop(hanging, silent, events))
    const since = performance.now()
    leases.hold([{ step_id: 'a', token: 't', seconds: 30, since, onLost: (message) => lost.push(message) }])
    await seconds(30)
    expect(lost).toEqual(['the lease ended before it could be renewed'])
  })

  it('of a step that is claimed again replace the older one, which is lost', async () => {
    const { leases, hold, holds, lost } = setUp()
    hold('a', 30, 'first')
    hold('a', 30, 'second')
    expect(lost).toEqual(['a/first'])
    leases.drop({ step_id: 'a', token: 'first' })
    expect(holds('a', 'second')).toBe(true)
  })

  it('leave nothing behind when they are closed', async () => {
    const { leases, calls, hold, lost } = setUp()
    hold('a')
    await leases.close()
    await seconds(100)
    expect([calls, lost, vi.getTimerCount()]).toEqual([[], [], 0])
  })
})

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Lease, OpsError } from '../engine/index.js'
import type { Log } from '../executors/define.js'
import { type Delivery, Lane } from './lane.js'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }
const away = () => new OpsError('OPS_001', 'away', { cause: { code: 'ECONNREFUSED' } })
const invalid = () => new OpsError('OPS_011', 'not like this')

interface Answer {
  step_id: string
}

/** A database whose calls the test answers one by one. */
function fakeDatabase() {
  const calls: { items: Lease[]; answer(): void; fail(error: unknown): void }[] = []
  const send = (items: Lease[]) =>
    new Promise<Answer[]>((resolve, reject) => {
      calls.push({ items, answer: () => resolve(items.map(({ step_id }) => ({ step_id }))), fail: reject })
    })
  const steps = () => calls.map((call) => call.items.map((item) => item.step_id))
  return { calls, send, steps }
}

function setUp(isHopeless = () => false) {
  const database = fakeDatabase()
  const subject = new Lane<Lease, Answer>({ what: 'send', send: database.send, isHopeless, log: silent })
  const deliver = (step_id: string, bytes = 0, token = 't') =>
    new Promise<Delivery<Answer>>((settle) => subject.deliver({ step_id, token }, bytes, settle))
  return { ...database, lane: subject, deliver }
}

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

/** Lets the turn end in which things were delivered, and no more. */
const turn = () => vi.advanceTimersByTimeAsync(0)

describe('a lane', () => {
  it('sends in one call what is delivered in one turn', async () => {
    const { calls, deliver, steps } = setUp()
    const deliveries = [deliver('a'), deliver('b')]
    await turn()
    expect(steps()).toEqual([['a', 'b']])
    calls[0]?.answer()
    expect(await Promise.all(deliveries)).toEqual([
      { end: 'answered', answer: { step_id: 'a' } },
      { end: 'answered', answer: { step_id: 'b' } },
    ])
  })

  it('gathers what comes while a call is under way for the next one', async () => {
    const { calls, deliver, steps } = setUp()
    void deliver('a')
    await turn()
    void deliver('b')
    await turn()
    void deliver('c')
    await turn()
    expect(steps()).toEqual([['a']])
    calls[0]?.answer()
    await turn()
    expect(steps()).toEqual([['a'], ['b', 'c']])
  })

  it('sends what is worth a call beside the one that is under way, and no third', async () => {
    const { calls, deliver } = setUp()
    const many = (count: number, name: string) => {
      for (let n = 0; n < count; n++) void deliver(`${name}${n}`)
    }
    many(1, 'a')
    await turn()
    many(100, 'b')
    await turn()
    many(600, 'c')
    await turn()
    expect(calls.map(({ items }) => items.length)).toEqual([1, 100])
    calls[1]?.answer()
    await turn()
    // The hundred that are left would be worth a call, but two are under way.
    expect(calls.map(({ items }) => items.length)).toEqual([1, 100, 500])
    calls[2]?.answer()
    await turn()
    calls[0]?.answer()
    await turn()
    expect(calls.map(({ items }) => items.length)).toEqual([1, 100, 500, 100])
  })

  it('tries again with one call when two have failed', async () => {
    const { calls, deliver } = setUp()
    const deliveries = Array.from({ length: 600 }, (_, n) => deliver(`s${n}`))
    await turn()
    await turn()
    void deliver('late')
    expect(calls.map(({ items }) => items.length)).toEqual([500, 100])
    calls[0]?.fail(away())
    await turn()
    calls[1]?.fail(away())
    await turn()
    await vi.advanceTimersToNextTimerAsync()
    expect(calls.map(({ items }) => items.length)).toEqual([500, 100, 500])
    calls[2]?.answer()
    await turn()
    calls[3]?.answer()
    expect(calls).toHaveLength(4)
    expect(await Promise.all(deliveries)).toHaveLength(600)
  })

  it('waits before it tries again when two calls fail in the same turn', async () => {
    const { calls, deliver } = setUp()
    const deliveries = Array.from({ length: 600 }, (_, n) => deliver(`s${n}`))
    await turn()
    await turn()
    void deliver('late')
    await turn()
    expect(calls.map(({ items }) => items.length)).toEqual([500, 100])
    for (const call of calls.slice()) call.fail(away())
    await turn()
    await turn()
    expect(calls).toHaveLength(2)
    await vi.advanceTimersToNextTimerAsync()
    expect(calls.map(({ items }) => items.length)).toEqual([500, 100, 500])
    calls[2]?.answer()
    await turn()
    calls[3]?.answer()
    expect(await Promise.all(deliveries)).toHaveLength(600)
  })

  it('splits what is too much for one call, by number and by size', async () => {
    const { calls, deliver } = setUp()
    for (let n = 0; n < 1050; n++) void deliver(`s${n}`)
    for (const [n, expected] of [500, 500, 50].entries()) {
      await turn()
      expect(calls[n]?.items).toHaveLength(expected)
      calls[n]?.answer()
    }
    await turn()
    for (const name of ['a', 'b', 'c']) void deliver(name, 2 * 1024 * 1024)
    await turn()
    expect(calls.at(-1)?.items.map((item) => item.step_id)).toEqual(['a', 'b'])
  })

  it('sends two attempts at the same step in different calls', async () => {
    const { calls, deliver, steps } = setUp()
    void deliver('a', 0, 'first')
    void deliver('a', 0, 'second')
    await turn()
    calls[0]?.answer()
    await turn()
    expect(steps()).toEqual([['a'], ['a']])
  })

  it('keeps what it has while the database is away, and sends it again with the rest', async () => {
    const { calls, deliver, steps, lane } = setUp()
    const delivery = deliver('a')
    await turn()
    calls[0]?.fail(away())
    await turn()
    expect(lane.stalled).toBe(true)
    void deliver('b')
    await vi.advanceTimersToNextTimerAsync()
    expect(steps()).toEqual([['a'], ['a', 'b']])
    calls[1]?.answer()
    expect(await delivery).toMatchObject({ end: 'answered' })
    expect(lane.stalled).toBe(false)
  })

  it('waits longer and longer, but never more than five seconds', async () => {
    const { calls, deliver } = setUp()
    void deliver('a')
    await turn()
    const waits: number[] = []
    for (let failure = 0; failure < 12; failure++) {
      calls.at(-1)?.fail(away())
      await turn()
      const began = Date.now()
      await vi.advanceTimersToNextTimerAsync()
      waits.push(Date.now() - began)
    }
    expect(calls).toHaveLength(13)
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(100)
    expect(Math.max(...waits)).toBeLessThanOrEqual(5000)
    expect(waits.at(-1)).toBeGreaterThanOrEqual(2500)
  })

  it('gives up what has become hopeless', async () => {
    const { calls, deliver } = setUp(() => true)
    const delivery = deliver('a')
    await turn()
    calls[0]?.fail(away())
    expect(await delivery).toEqual({ end: 'given up' })
  })

  it('sends one by one what was refused together, so that a bad item harms no other', async () => {
    const { calls, deliver, steps } = setUp()
    const deliveries = [deliver('good'), deliver('bad'), deliver('fine')]
    await turn()
    const error = invalid()
    calls[0]?.fail(error)
    await turn()
    calls[1]?.answer()
    await turn()
    calls[2]?.fail(error)
    await turn()
    calls[3]?.answer()
    expect(await Promise.all(deliveries)).toMatchObject([
      { end: 'answered' },
      { end: 'refused', error },
      { end: 'answered' },
    ])
    expect(steps()).toEqual([['good', 'bad', 'fine'], ['good'], ['bad'], ['fine']])
  })

  it('tries again at once when it is told to hurry', async () => {
    const { calls, deliver, lane } = setUp()
    void deliver('a')
    await turn()
    calls[0]?.fail(away())
    await turn()
    lane.hurry()
    await turn()
    expect(calls).toHaveLength(2)
  })
})

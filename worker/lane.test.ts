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

  it('splits what is too much for one call, by number and by size', async () => {
    const { calls, deliver } = setUp()
    for (let n = 0; n < 1050; n++) void deliver(`s${n}`)
    for (const expected of [500, 500, 50]) {
      await turn()
      const call = calls.at(-1)
      expect(call?.items).toHaveLength(expected)
      call?.answer()
    }
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

/** Matching is long when operators write much: it is done once, in turns with everything else, and never to the end of time. */
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { type Engine, OpsError } from '../engine/index.js'
import { testApi } from './testing.js'
import { quarantinedPatterns, ReactionTrigger, triggerReactions } from './trigger.js'

const { compilations } = vi.hoisted(() => ({ compilations: [] as number[] }))
vi.mock('../policies/matcher/compile.js', async (original) => {
  const module = await original<typeof import('../policies/matcher/compile.js')>()
  const compiling: typeof module.compiling = (value, of) => {
    compilations.push(of.version)
    return module.compiling(value, of)
  }
  return { ...module, compiling }
})

const { db, engine, policy } = await testApi()

const pattern = (id: string, fields: Record<string, unknown> = {}) => ({
  id,
  event_type: 'turn:*',
  template: { title: `About ${id}`, risk_level: 'low', steps: [{ kind: 'noop' }] },
  ...fields,
})
const emit = (times: number, data: Record<string, unknown> = {}) =>
  engine.emitEvents(Array.from({ length: times }, () => ({ type: 'turn:taken', data })))

afterEach(() => vi.restoreAllMocks())

describe('a reaction matrix', () => {
  test('is compiled once for each version, however many batches, beats and checks look at it', async () => {
    const versionOf = async () => (await engine.policies(['reaction_matrix']))[0]?.version
    compilations.length = 0
    await policy('reaction_matrix', { patterns: [pattern('one'), pattern('broken', { when: '(' })] })
    const first = await versionOf()
    await emit(6)
    await Promise.all([triggerReactions(engine, 2), triggerReactions(engine, 2)])
    while ((await triggerReactions(engine, 2)).more);
    expect(Object.keys(await quarantinedPatterns(engine))).toEqual(['broken'])
    expect(compilations).toEqual([first])

    await policy('reaction_matrix', { patterns: [pattern('two')] })
    await emit(1)
    expect(await triggerReactions(engine, 2)).toMatchObject({ settled: 1, queued: 1, problems: [] })
    expect(await quarantinedPatterns(engine)).toEqual({})
    expect(compilations).toEqual([first, await versionOf()])
  })
})

describe('patterns that take all the work they may', () => {
  const when = 'event.data.list.all(a, event.data.list.all(b, a + b >= 0))'
  const list = Array.from({ length: 2000 }, (_, n) => n)

  /** An engine that counts the turns of the event loop between reading the policies and settling. */
  function watched(): { engine: Engine; turns: () => number } {
    let turns = 0
    let next: NodeJS.Immediate | undefined
    const count = () => {
      turns += 1
      next = setImmediate(count)
    }
    return {
      turns: () => turns,
      engine: {
        ...engine,
        async policies(...call) {
          const rows = await engine.policies(...call)
          next = setImmediate(count)
          return rows
        },
        settleEvents(...call) {
          clearImmediate(next)
          return engine.settleEvents(...call)
        },
      },
    }
  }

  test('let everything else have its turn, also within one event', async () => {
    await policy('reaction_matrix', {
      patterns: Array.from({ length: 60 }, (_, n) => pattern(`p${n}`, { when })),
    })
    await emit(1, { list })
    const { engine: on, turns } = watched()
    await triggerReactions(on, 10)
    // Compiled by now: this is the matching alone.
    await emit(1, { list })
    const compiledAndMatched = turns()
    expect(compiledAndMatched).toBeGreaterThan(1)
    expect(await triggerReactions(on, 10)).toMatchObject({ settled: 1, queued: 0 })
    expect(turns()).toBeGreaterThan(compiledAndMatched + 1)
  })

  test('let what is matched be settled before the rest', async () => {
    await policy('reaction_matrix', { patterns: [pattern('slow')] })
    await emit(5)
    let clock = 0
    vi.spyOn(performance, 'now').mockImplementation(() => {
      clock += 1000
      return clock
    })
    const first = await triggerReactions(engine, 10)
    expect(first).toMatchObject({ found: first.settled, more: true })
    expect(first.settled).toBeGreaterThan(0)
    expect(first.settled).toBeLessThan(5)
    let settled = first.settled
    for (let more = true; more; ) {
      const batch = await triggerReactions(engine, 10)
      settled += batch.settled
      more = batch.more
    }
    expect(settled).toBe(5)
    expect(await engine.pendingEvents(10)).toEqual([])
  })
})

describe('batch after batch', () => {
  const idsOf = (items: readonly { event_id: string }[]) => items.map(({ event_id }) => event_id)

  /** A promise, and what fulfils it. */
  function held(): { promise: Promise<void>; release: () => void } {
    let release = () => {}
    const promise = new Promise<void>((resolve) => {
      release = resolve
    })
    return { promise, release }
  }

  test('settles all events, in their order, none of them twice, and takes no more at a time than it may', async () => {
    await policy('reaction_matrix', { patterns: [pattern('many')] })
    await emit(600)
    const ids = idsOf(await engine.pendingEvents(1000))
    const trigger = new ReactionTrigger(engine, 250)
    expect(await trigger.batch()).toMatchObject({ found: 250, more: true, settled: 250, queued: 250 })
    expect(await trigger.batch()).toMatchObject({ found: 250, more: true, settled: 250 })
    expect(await trigger.batch()).toMatchObject({ found: 100, more: false, settled: 100 })
    // As the database tells it: answers may overtake each other.
    const settled = await db.sql<{ ids: string[] }[]>`
      select array_agg(id order by created_at, id) as ids from ops_agent_events where id = any (${ids})
      group by processed_at order by processed_at`
    expect(settled.map(({ ids }) => ids.length)).toEqual([250, 250, 100])
    expect(settled.flatMap(({ ids }) => ids)).toEqual(ids)
  })

  /** An engine whose nth call of settling (from 1) waits for something, with what each call answered so far. */
  function waiting(until: Record<number, Promise<unknown>>): { engine: Engine; answers: string[][] } {
    const answers: string[][] = []
    let calls = 0
    return {
      answers,
      engine: {
        ...engine,
        async settleEvents(...call) {
          calls += 1
          await until[calls]
          const settled = await engine.settleEvents(...call)
          answers.push(settled.map(({ outcome }) => outcome))
          return settled
        },
      },
    }
  }

  test('sends the next while one is settled', async () => {
    await emit(4)
    const { promise: sent, release } = held()
    const { engine: patient } = waiting({ 1: sent })
    const watched: Engine = {
      ...patient,
      settleEvents(version, items, after) {
        if (after !== undefined) release()
        return patient.settleEvents(version, items, after)
      },
    }
    const trigger = new ReactionTrigger(watched, 2)
    expect(await trigger.batch()).toMatchObject({ settled: 2 })
    expect(await trigger.batch()).toMatchObject({ settled: 2, more: true })
    expect(await trigger.batch()).toMatchObject({ found: 0, more: false })
  })

  test('settles the next after it, also where that comes first', async () => {
    await policy('reaction_matrix', { patterns: [pattern('once', { cooldown_minutes: 5 })] })
    onTestFinished(() => policy('reaction_matrix', { patterns: [pattern('many')] }))
    const emitted = await emit(4)
    const { promise: early, release } = held()
    const { engine: late, answers } = waiting({ 1: early })
    const watched: Engine = {
      ...late,
      async settleEvents(...call) {
        const settled = await late.settleEvents(...call)
        if (settled[0]?.outcome === 'early') release()
        return settled
      },
    }
    const trigger = new ReactionTrigger(watched, 2)
    expect(await trigger.batch()).toMatchObject({ settled: 2, queued: 1 })
    expect(await trigger.batch()).toMatchObject({ found: 2, settled: 2, queued: 0 })
    expect(answers).toEqual([
      ['early', 'early'],
      ['settled', 'settled'],
      ['settled', 'settled'],
    ])
    expect(await engine.why(emitted[0]?.event_id ?? '')).toMatchObject([{ decision: 'matched' }])
  })

  test('of which the next is refused settles its events one by one, after this one', async () => {
    const emitted = await emit(4)
    const ids = idsOf(emitted)
    const { promise: refused, release } = held()
    const calls: string[][] = []
    const picky: Engine = {
      ...engine,
      async settleEvents(version, items, after) {
        if (items.length > 1 && items[0]?.event_id === ids[2]) {
          release()
          throw new OpsError('OPS_011', 'too odd')
        }
        await refused
        calls.push(idsOf(items))
        return engine.settleEvents(version, items, after)
      },
    }
    const trigger = new ReactionTrigger(picky, 2)
    expect(await trigger.batch()).toMatchObject({ settled: 2 })
    expect(await trigger.batch()).toMatchObject({ settled: 2, problems: [] })
    expect(calls).toEqual([ids.slice(0, 2), [ids[2]], [ids[3]]])
  })

  test('of which the next cannot be read settles this one, and the next fails', async () => {
    await emit(300)
    let reads = 0
    const broken: Engine = {
      ...engine,
      async pendingEvents(...call) {
        reads += 1
        if (reads === 2) throw new Error('gone')
        return engine.pendingEvents(...call)
      },
    }
    const trigger = new ReactionTrigger(broken, 200)
    expect(await trigger.batch()).toMatchObject({ settled: 200, more: true })
    await expect(trigger.batch()).rejects.toThrow('gone')
    expect(await trigger.batch()).toMatchObject({ settled: 100, queued: 100 })
    expect(await engine.pendingEvents(1)).toEqual([])
  })

  test('of which one cannot be settled begins anew with the oldest events', async () => {
    await emit(4)
    let calls = 0
    const broken: Engine = {
      ...engine,
      async settleEvents(...call) {
        calls += 1
        if (calls === 1) throw Object.assign(new Error('gone'), { code: 'ECONNRESET' })
        return engine.settleEvents(...call)
      },
    }
    const trigger = new ReactionTrigger(broken, 2)
    await expect(trigger.batch()).rejects.toThrow('gone')
    expect(await trigger.batch()).toMatchObject({ settled: 2, more: true })
    expect(await trigger.batch()).toMatchObject({ settled: 2 })
    expect(await engine.pendingEvents(1)).toEqual([])
  })

  test('of which only the answer was lost tells of the next, which is settled', async () => {
    await emit(4)
    const { promise: sent, release } = held()
    let calls = 0
    const lossy: Engine = {
      ...engine,
      async settleEvents(...call) {
        calls += 1
        const isFirst = calls === 1
        const settled = await engine.settleEvents(...call)
        if (!isFirst) {
          release()
          return settled
        }
        await sent
        throw Object.assign(new Error('gone'), { code: 'ECONNRESET' })
      },
    }
    const trigger = new ReactionTrigger(lossy, 2)
    await expect(trigger.batch()).rejects.toThrow('gone')
    expect(await trigger.batch()).toMatchObject({ found: 2, settled: 2, more: true })
    expect(await trigger.batch()).toMatchObject({ found: 0 })
    expect(await engine.pendingEvents(1)).toEqual([])
  })

  test('matches nothing more once it is at its end', async () => {
    await emit(4)
    const { promise: ended, release } = held()
    let looks = 0
    const watched: Engine = {
      ...engine,
      async pendingEvents(limit, after) {
        const events = await engine.pendingEvents(limit, after)
        if (after === undefined) return events
        await ended
        return events.map((event) => ({
          ...event,
          get type() {
            looks += 1
            return event.type
          },
        }))
      },
    }
    const trigger = new ReactionTrigger(watched, 2)
    await trigger.batch()
    const end = trigger.end()
    release()
    expect(await end).toMatchObject({ found: 0, settled: 0, queued: 0 })
    expect(looks).toBe(0)
    expect(await triggerReactions(engine, 1000)).toMatchObject({ settled: 2 })
    expect(await trigger.end()).toMatchObject({ settled: 0 })
  })

  test('tells at its end what became of the next', async () => {
    await emit(4)
    const { promise: ended, release } = held()
    const { promise: sent, release: isSent } = held()
    const { engine: late } = waiting({ 1: sent, 2: ended })
    const watched: Engine = {
      ...late,
      settleEvents(version, items, after) {
        if (after !== undefined) isSent()
        return late.settleEvents(version, items, after)
      },
    }
    const trigger = new ReactionTrigger(watched, 2)
    expect(await trigger.batch()).toMatchObject({ settled: 2 })
    const end = trigger.end()
    release()
    expect(await end).toMatchObject({ settled: 2 })
    expect(await engine.pendingEvents(1)).toEqual([])
  })
})

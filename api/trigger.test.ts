/** Matching is long when operators write much: it is done once, in turns with everything else, and never to the end of time. */
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Engine } from '../engine/index.js'
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

const { engine, policy } = await testApi()

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
        settleEvents(version, items) {
          clearImmediate(next)
          return engine.settleEvents(version, items)
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
    const calls: string[][] = []
    const noting: Engine = {
      ...engine,
      settleEvents(version, items) {
        calls.push(idsOf(items))
        return engine.settleEvents(version, items)
      },
    }
    const trigger = new ReactionTrigger(noting, 250)
    expect(await trigger.batch()).toMatchObject({ found: 250, more: true, settled: 250, queued: 250 })
    expect(await trigger.batch()).toMatchObject({ found: 250, more: true, settled: 250 })
    expect(await trigger.batch()).toMatchObject({ found: 100, more: false, settled: 100 })
    expect(calls.map(({ length }) => length)).toEqual([250, 250, 100])
    expect(calls.flat()).toEqual(ids)
  })

  test('reads and matches the next while one is settled', async () => {
    await emit(4)
    const { promise: matched, release } = held()
    const policiesRead: unknown[] = []
    const watched: Engine = {
      ...engine,
      async policies(...call) {
        policiesRead.push(call)
        if (policiesRead.length === 2) release()
        return engine.policies(...call)
      },
      async settleEvents(version, items) {
        await matched
        return engine.settleEvents(version, items)
      },
    }
    const trigger = new ReactionTrigger(watched, 2)
    expect(await trigger.batch()).toMatchObject({ settled: 2 })
    expect(await trigger.batch()).toMatchObject({ settled: 2, more: true })
    expect(await trigger.batch()).toMatchObject({ found: 0, more: false })
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
      async settleEvents(version, items) {
        calls += 1
        if (calls === 1) throw Object.assign(new Error('gone'), { code: 'ECONNRESET' })
        return engine.settleEvents(version, items)
      },
    }
    const trigger = new ReactionTrigger(broken, 2)
    await expect(trigger.batch()).rejects.toThrow('gone')
    expect(await trigger.batch()).toMatchObject({ settled: 2, more: true })
    expect(await trigger.batch()).toMatchObject({ settled: 2 })
    expect(await engine.pendingEvents(1)).toEqual([])
  })

  test('matches nothing more when it was stopped', async () => {
    await emit(4)
    const { promise: stopped, release } = held()
    let looks = 0
    let reads = 0
    const secondMatched = held()
    const watched: Engine = {
      ...engine,
      async pendingEvents(limit, after) {
        const events = await engine.pendingEvents(limit, after)
        if (after === undefined) return events
        await stopped
        return events.map((event) => ({
          ...event,
          get type() {
            looks += 1
            return event.type
          },
        }))
      },
      async policies(...call) {
        const rows = await engine.policies(...call)
        reads += 1
        if (reads === 2) setImmediate(secondMatched.release)
        return rows
      },
    }
    const trigger = new ReactionTrigger(watched, 2)
    await trigger.batch()
    trigger.stop()
    release()
    await secondMatched.promise
    await new Promise(setImmediate)
    expect(looks).toBe(0)
    expect(await triggerReactions(engine, 1000)).toMatchObject({ settled: 2 })
  })
})

/** Matching is long when operators write much: it is done once, in turns with everything else, and never to the end of time. */
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Engine } from '../engine/index.js'
import { testApi } from './testing.js'
import { quarantinedPatterns, triggerReactions } from './trigger.js'

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
        settleEvents(version, items, options) {
          clearImmediate(next)
          return engine.settleEvents(version, items, options)
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
    expect(first).toMatchObject({ found: 5, more: true })
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

describe('a batch of many events', () => {
  /** An engine that notes what is settled, call by call. */
  function noting(): { engine: Engine; calls: string[][] } {
    const calls: string[][] = []
    return {
      calls,
      engine: {
        ...engine,
        settleEvents(version, items, options) {
          calls.push(items.map(({ event_id }) => event_id))
          return engine.settleEvents(version, items, options)
        },
      },
    }
  }

  test('is settled in slices, in the order of the events, none of them twice', async () => {
    await policy('reaction_matrix', { patterns: [pattern('many')] })
    await emit(600)
    const ids = (await engine.pendingEvents(1000)).map(({ event_id }) => event_id)
    const { engine: on, calls } = noting()
    expect(await triggerReactions(on, 1000)).toMatchObject({
      found: 600,
      more: false,
      settled: 600,
      queued: 600,
    })
    expect(calls.length).toBeGreaterThan(1)
    expect(calls.flat()).toEqual(ids)
  })

  test('takes no more than it may', async () => {
    await emit(300)
    const { engine: on, calls } = noting()
    expect(await triggerReactions(on, 200)).toMatchObject({ found: 200, more: true, settled: 200 })
    expect(calls.flat()).toHaveLength(200)
    expect(await triggerReactions(on, 200)).toMatchObject({ found: 100, more: false, settled: 100 })
  })

  test('of which the rest cannot be read leaves it to the next', async () => {
    await emit(300)
    let reads = 0
    const broken: Engine = {
      ...engine,
      async pendingEvents(limit) {
        reads += 1
        if (reads === 2) throw new Error('gone')
        return engine.pendingEvents(limit)
      },
    }
    await expect(triggerReactions(broken, 1000)).rejects.toThrow('gone')
    const { length: left } = await engine.pendingEvents(1000)
    expect(left).toBeGreaterThan(0)
    expect(left).toBeLessThan(300)
    expect(await triggerReactions(engine, 1000)).toMatchObject({ settled: left, queued: left })
    expect(await engine.pendingEvents(1)).toEqual([])
  })
})

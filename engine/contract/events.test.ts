import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import type { Decision } from '../index.js'
import { contract, ISO, only, template, UUID, unique } from './support.js'

contract('events', (scene) => {
  test('are accepted, in the order given, each with an id', async () => {
    const { engine } = scene()
    const emitted = await engine.emitEvents([{ type: 'app:one' }, { type: 'app:two', data: { n: 2 } }])
    expect(emitted).toEqual([
      { ordinal: 1, event_id: expect.stringMatching(UUID), outcome: 'accepted' },
      { ordinal: 2, event_id: expect.stringMatching(UUID), outcome: 'accepted' },
    ])
  })

  test('are stored once for each dedupe key; another content is a conflict', async () => {
    const { engine } = scene()
    const event = {
      type: 'app:once',
      data: { n: 1, nested: { a: [1, null, 'ü'] } },
      dedupe_key: unique('once'),
    }
    const { event_id } = only(await engine.emitEvents([event]))
    expect(await engine.emitEvents([event, { ...event, data: { n: 2 } }])).toEqual([
      { ordinal: 1, event_id, outcome: 'duplicate' },
      { ordinal: 2, event_id, outcome: 'conflict' },
    ])
  })

  test.each([
    ['no type', { type: '' }, 'events[1].type'],
    ['an odd type', { type: 'a b' }, 'events[1].type'],
    ['a type of the engine’s own', { type: 'mission:succeeded' }, 'events[1].type'],
    ['too much data', { type: 'app:big', data: { text: 'x'.repeat(1024 * 1024) } }, 'events[1].data'],
  ])('are refused all together because of one with %s', async (_, event, path) => {
    const { engine, sql } = scene()
    const type = unique('app:before')
    await expect(engine.emitEvents([{ type }, event])).rejects.toMatchObject({
      code: 'OPS_011',
      details: { path },
    })
    expect(await sql`select from public.ops_agent_events where type = ${type}`).toHaveLength(0)
  })

  test('are named by their fields alone where one was sent', async () => {
    const { engine } = scene()
    await expect(engine.emitEvent({ type: 'mission:succeeded' })).rejects.toMatchObject({
      code: 'OPS_011',
      message: expect.stringMatching(/^type "mission:" events/),
      details: { path: 'type' },
    })
    expect(await engine.emitEvent({ type: 'app:single' })).toMatchObject({ outcome: 'accepted' })
  })

  test('are refused while intake is paused', async () => {
    const { engine, policy } = scene()
    await policy('control', { pause: { intake: true } })
    await expect(engine.emitEvents([{ type: 'app:paused' }])).rejects.toMatchObject({ code: 'OPS_015' })
    await policy('control', {})
  })

  test('keep text that JSON allows and Postgres does not, as well as it can be kept', async () => {
    const { engine, sql } = scene()
    const data = { text: 'NUL \u0000, half \ud800, fox 🦊, "quotes" and \\backslashes\\ {}' }
    const { event_id } = only(await engine.emitEvents([{ type: 'app:odd', data }]))
    const [row] =
      await sql`select data ->> 'text' as text from public.ops_agent_events where id = ${event_id}`
    expect(row?.text).toBe('NUL \ufffd, half \ufffd, fox 🦊, "quotes" and \\backslashes\\ {}')
  })

  test('that nest deeper than they can be written are the caller’s matter, not a database that is away', async () => {
    const { engine } = scene()
    let data: Record<string, unknown> = {}
    for (let level = 0; level < 20_000; level++) data = { data }
    await expect(engine.emitEvents([{ type: 'app:deep', data }])).rejects.toMatchObject({
      code: 'OPS_011',
      message: 'The database cannot read the input: Maximum call stack size exceeded',
    })
  })

  test('wait to be settled, once, and become proposals', async () => {
    const { engine } = scene()
    const executor = unique('x')
    const { event_id } = only(await engine.emitEvents([{ type: 'app:match', data: { executor } }]))
    const pending = (await engine.pendingEvents(1000)).find((event) => event.event_id === event_id)
    expect(pending).toEqual({
      event_id,
      type: 'app:match',
      data: { executor },
      depth: 0,
      root_event_id: event_id,
      created_at: expect.stringMatching(ISO),
    })

    const decisions: Decision[] = [
      { pattern_id: 'answers', decision: 'matched', mode: 'active', template: { ...template(executor) } },
      { pattern_id: 'ignores', decision: 'not_matched', mode: 'active', detail: { condition: 'tags' } },
    ]
    expect(await engine.settleEvents(1, [{ event_id, type: 'app:match', decisions }])).toEqual([
      { event_id, outcome: 'settled', queued: 1 },
    ])
    expect(await engine.settleEvents(1, [{ event_id, type: 'app:match', decisions }])).toEqual([
      { event_id, outcome: 'skipped', queued: 0 },
    ])

    const reaction = only(await engine.runReactions(100))
    expect(reaction).toMatchObject({
      status: 'done',
      proposal_status: 'auto_approved',
      code: 'auto_approved',
    })
    expect(reaction.mission_id).toMatch(UUID)

    const why = await engine.why(event_id)
    expect(why).toContainEqual(
      expect.objectContaining({
        pattern_id: 'answers',
        decision: 'matched',
        reaction_id: reaction.reaction_id,
      }),
    )
    expect(why).toContainEqual(
      expect.objectContaining({ pattern_id: 'ignores', decision: 'not_matched', reaction_id: null }),
    )

    const chain = (await engine.trace(event_id)).map(({ entity }) => entity)
    expect(chain).toEqual(['event', 'reaction', 'proposal', 'mission', 'step'])
  })

  test('a reaction with an invalid template fails by itself', async () => {
    const { engine } = scene()
    const { event_id } = only(await engine.emitEvents([{ type: 'app:broken' }]))
    const matched = { decision: 'matched', mode: 'active' } as const
    const decisions: Decision[] = [
      { ...matched, pattern_id: 'broken', template: { title: 'No steps' } },
      { ...matched, pattern_id: 'sound', template: { ...template(unique('x')) } },
    ]
    await engine.settleEvents(1, [{ event_id, type: 'app:broken', decisions }])
    const outcomes = await engine.runReactions(100)
    expect(outcomes.map(({ status, code }) => [status, code]).sort()).toEqual([
      ['done', 'auto_approved'],
      ['failed', 'OPS_004'],
    ])
  })

  test('are read on from one that is known, settled or not', async () => {
    const { engine } = scene()
    const emitted = await engine.emitEvents([1, 2, 3].map((n) => ({ type: 'app:page', data: { n } })))
    const ours = emitted.map(({ event_id }) => event_id)
    const [first, second, third] = ours
    const after = async (id?: string) =>
      (await engine.pendingEvents(1000, id))
        .map((event) => event.event_id)
        .filter((one) => ours.includes(one))
    expect(await after()).toEqual([first, second, third])
    expect(await after(first)).toEqual([second, third])
    await engine.settleEvents(1, [{ event_id: second ?? '', type: 'app:page', decisions: [] }])
    expect(await after(second)).toEqual([third])
    expect(await after(third)).toEqual([])
    // One that is gone by now is no place to go on from.
    expect(await after('00000000-0000-7000-8000-000000000000')).toEqual([first, third])
  })

  test('are settled after the one that comes before them, or not yet', async () => {
    const { engine } = scene()
    const emitted = await engine.emitEvents([{ type: 'app:first' }, { type: 'app:second' }])
    const [first = '', second = ''] = emitted.map(({ event_id }) => event_id)
    const settle = (event_id: string, after?: string) =>
      engine.settleEvents(1, [{ event_id, type: 'app:page', decisions: [] }], after)
    expect(await settle(second, first)).toEqual([{ event_id: second, outcome: 'early', queued: 0 }])
    expect(await settle(first)).toEqual([{ event_id: first, outcome: 'settled', queued: 0 }])
    expect(await settle(second, first)).toEqual([{ event_id: second, outcome: 'settled', queued: 0 }])
  })

  test('nothing to settle is no call', async () => {
    expect(await scene().engine.settleEvents(1, [])).toEqual([])
  })

  test('asking about an event that is not there is OPS_013', async () => {
    await expect(scene().engine.why(randomUUID())).rejects.toMatchObject({ code: 'OPS_013' })
  })
})

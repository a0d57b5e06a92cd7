/** Policies, events and decisions that are almost right: edited, inserted and sent by hand, past every check that HTTP makes. */
import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { settle } from '../../api/trigger.js'
import { connectEngine, type Decision, type SettleItem } from '../../engine/index.js'
import { settlement } from '../../engine/settlement.js'
import { defaultPolicies, policyKeys } from '../../policies/index.js'
import { fullPolicies } from '../../supabase/tests/full-policies.js'
import { settleItems } from '../../supabase/tests/loop.js'
import { setPolicy } from '../../supabase/tests/world.js'
import { freshDatabase, urlFor } from '../support/database.js'
import { onFileEnd } from '../support/fileEnd.js'
import { hostileJson, hostileText, jsonForPostgres, spoiled, wellFormed } from './support/hostile.js'
import { scale } from './support/scale.js'
import { beatOf, expectThrough } from './support/through.js'

const numRuns = scale({ short: 12, long: 500 })
const seed = Number(process.env.FAULTS_SEED ?? 20_261_126)
/** Words of the engine's own, of bad values, or of rows that may not be. */
const REFUSED = /^(OP\d{3}|22\w{3}|23\w{3})$/

const database = await freshDatabase()
const { sql } = database
const engine = connectEngine({ databaseUrl: urlFor(database, 'service_role') })
onFileEnd(() => engine.close())

const matrix = {
  patterns: [
    {
      id: 'everything',
      event_type: '*',
      cooldown_minutes: 1,
      cooldown_key: '{{event.id}}',
      template: {
        title: 'A {{event.type}}',
        risk_level: 'low',
        steps: [{ kind: 'noop', params: { all: '{{event.data}}' } }],
      },
    },
  ],
}

/** The code of a refusal; undefined where it was taken. */
const codeOf = (statement: PromiseLike<unknown>): Promise<string | undefined> =>
  Promise.resolve(statement).then(
    () => undefined,
    (error: { code?: string; message: string }) => error.code ?? error.message,
  )
const text = hostileText.map((given) => wellFormed(given).replaceAll('\0', ''))

beforeEach(async () => {
  for (const [key, value] of Object.entries(defaultPolicies)) await setPolicy(sql, key, value)
  await setPolicy(sql, 'reaction_matrix', matrix)
})

describe('a policy edited by hand', () => {
  test.each(policyKeys)(
    '%s is refused and stays, or the loop goes on with it',
    { timeout: 600_000 },
    async (key) => {
      await fc.assert(
        fc.asyncProperty(spoiled(fullPolicies[key]), async (value) => {
          await setPolicy(sql, key, defaultPolicies[key])
          const before = await sql`select value, version from ops_policy where key = ${key}`
          await engine.emitEvents([{ type: 'a:b', data: { n: 1 } }])
          const code = await codeOf(
            sql`update ops_policy set value = ${jsonForPostgres(value)}::text::jsonb where key = ${key}`,
          )
          if (code === undefined) {
            const { errors } = await beatOf(engine)
            expect(errors, jsonForPostgres(value)).toEqual([])
            return
          }
          expect(code, jsonForPostgres(value)).toMatch(/^(OP011|22\w{3})$/)
          expect(await sql`select value, version from ops_policy where key = ${key}`).toEqual(before)
        }),
        { numRuns, seed },
      )
      await setPolicy(sql, key, defaultPolicies[key])
      await expectThrough(sql, engine)
    },
  )
})

describe('events', () => {
  const event = { type: 'app:done', data: { title: 't', tags: ['a'], n: 1 }, dedupe_key: 'k' }

  test('given to ops_emit_events are refused whole, or go through', { timeout: 600_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(spoiled(event), { minLength: 1, maxLength: 4 }), async (events) => {
        const given = jsonForPostgres([event, ...events])
        const stored = () => sql`select count(*) from ops_agent_events where type not like 'heartbeat:%'`
        const before = await stored()
        const code = await codeOf(sql`select * from ops_emit_events(${given}::text::jsonb)`)
        if (code === undefined) return
        expect(code, given).toMatch(REFUSED)
        expect(await stored()).toEqual(before)
      }),
      { numRuns: 4 * numRuns, seed },
    )
    await expectThrough(sql, engine)
  })

  test('inserted as rows are refused, or go through', { timeout: 600_000 }, async () => {
    const row = fc.record({
      type: text,
      data: hostileJson.map(jsonForPostgres),
      key: fc.option(text),
      depth: fc.integer({ min: -2, max: 12 }),
    })
    await fc.assert(
      fc.asyncProperty(row, async ({ type, data, key, depth }) => {
        const code = await codeOf(
          sql`insert into ops_agent_events (type, data, dedupe_key, depth) values (${type}, ${data}::text::jsonb, ${key}, ${depth})`,
        )
        if (code !== undefined) expect(code, `${type} ${data}`).toMatch(REFUSED)
      }),
      { numRuns: 4 * numRuns, seed },
    )
    await expectThrough(sql, engine)
  })
})

describe('what was decided', () => {
  test('about a pattern whose id is no text is refused, and the event is settled with the error', async () => {
    await engine.emitEvents([{ type: 'app:done', data: {} }])
    const [event] = await engine.pendingEvents(1)
    const decisions: unknown[] = [{ pattern_id: { a: 1 }, mode: 'active', decision: 'matched', template: {} }]
    const items: SettleItem[] = JSON.parse(JSON.stringify([{ event_id: event?.event_id, decisions }]))
    expect(await codeOf(settleItems(sql, items))).toBe('23514')
    const problems: { code: string; message: string }[] = []
    expect(await settle(engine, 1, items, { problems })).toMatchObject([{ outcome: 'settled', queued: 0 }])
    expect(problems).toHaveLength(1)
    await expectThrough(sql, engine)
  })

  const template = {
    title: 't',
    risk_level: 'low',
    agent: 'scout',
    steps: [{ key: 'a', kind: 'noop', params: { x: 1 } }],
  }
  const matched = {
    pattern_id: 'p',
    mode: 'active',
    decision: 'matched',
    cooldown: { minutes: 5, key: 'k' },
    threshold: { count: 1, within_minutes: 5, key: 'k' },
    dedupe_key: 'k',
    proposal_source: 'reaction',
    template,
  }

  test('given to ops_settle_events is settled or refused, and no event waits for ever', {
    timeout: 600_000,
  }, async () => {
    const items = fc.array(
      spoiled({ decisions: [matched, { ...matched, pattern_id: 'q', mode: 'shadow' }] }),
      { minLength: 1, maxLength: 3 },
    )
    await fc.assert(
      fc.asyncProperty(items, async (given) => {
        await engine.emitEvents(given.map(() => ({ type: 'app:done', data: {} })))
        const pending = await engine.pendingEvents(50)
        const whole: SettleItem[] = pending.map(({ event_id }, n) => ({
          decisions: [],
          ...JSON.parse(jsonForPostgres(given[n] ?? {})),
          event_id,
          type: 'app:done',
        }))
        // As a beat does it: what is refused suffers alone.
        await settle(engine, 1, whole, { problems: [] })
        expect(await engine.pendingEvents(50)).toEqual([])
      }),
      { numRuns: 4 * numRuns, seed },
    )
    await expectThrough(sql, engine)
  })

  test('given to ops_settle_events as documents is settled or refused', { timeout: 600_000 }, async () => {
    const decisions = [matched, { ...matched, pattern_id: 'q', mode: 'shadow' }]
    const sound = settlement(
      [1, 2].map(() => ({ event_id: '', type: 'app:done', decisions: decisions as Decision[] })),
    )
    await fc.assert(
      fc.asyncProperty(spoiled(sound), async (given) => {
        await engine.emitEvents([1, 2].map(() => ({ type: 'app:done', data: {} })))
        const ids = (await engine.pendingEvents(50)).map(({ event_id }) => event_id)
        const { p_events, p_matches } = Object(given)
        const events = { ...Object(p_events), event_id: ids }
        const code = await codeOf(
          sql`select * from ops_settle_events(1, ${jsonForPostgres(events)}::text::jsonb, ${jsonForPostgres(p_matches)}::text::jsonb)`,
        )
        if (code !== undefined) expect(code, jsonForPostgres(given)).toMatch(REFUSED)
        expect(await engine.pendingEvents(50)).toHaveLength(code === undefined ? 0 : ids.length)
        // What was made of it hangs nowhere, and can be told.
        await beatOf(engine)
        for (const id of ids)
          expect(await codeOf(sql`select from ops_why(${id})`), jsonForPostgres(given)).toBeUndefined()
      }),
      { numRuns: 4 * numRuns, seed },
    )
    await expectThrough(sql, engine)
  })

  test('inserted as reactions becomes a proposal, or fails with its error', {
    timeout: 600_000,
  }, async () => {
    const payload = {
      pattern_id: 'p',
      event_type: 'app:done',
      proposal_source: 'reaction',
      dedupe_key: 'r',
      proposal_template: template,
    }
    await fc.assert(
      fc.asyncProperty(spoiled(payload), async (given) => {
        const [event] = await engine.emitEvents([{ type: 'app:done', data: {} }])
        const code = await codeOf(
          sql`insert into ops_agent_reactions (event_id, payload) values (${event?.event_id ?? ''}, ${jsonForPostgres(given)}::text::jsonb)`,
        )
        if (code !== undefined) expect(code, jsonForPostgres(given)).toMatch(REFUSED)
      }),
      { numRuns: 4 * numRuns, seed },
    )
    // Nobody decided about these.
    await expectThrough(sql, engine, /^reaction_needs_verdict: the event's verdict does not name/)
    const odd = await sql`
      select id from ops_agent_reactions where status = 'failed' and not payload ? 'error' or status = 'done' and not payload ? 'result'`
    expect(odd).toEqual([])
  })
})

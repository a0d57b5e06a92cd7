/** Everything that can be done to the engine, drawn at random, and what must hold afterwards. */

import fc from 'fast-check'
import postgres from 'postgres'
import { expect } from 'vitest'
import { settleItems } from './loop.js'
import {
  type Answer,
  approve,
  type Item,
  propose,
  proposeAll,
  proposeOne,
  reject,
  expire as sqlExpire,
} from './proposals.js'
import type { SharedDatabase } from './reset.js'
import * as work from './work.js'
import { type Clock, setPolicy, stopClock } from './world.js'

/** What a command draws; each reads what it needs, and picks from lists by remainder. */
export interface Draw {
  verb: Verb
  a: number
  b: number
  c: number
}

type Row = Record<string, unknown>
type Rows = Record<string, Row>
export interface Snapshot {
  events: Rows
  reactions: Rows
  proposals: Rows
  missions: Rows
  steps: Rows
  runs: Rows
  /** Held dedupe keys. */
  keys: Record<string, string>
  caps: {
    scope: string
    name: string
    used: number
    max_units: number | null
    used_usd: number
    max_usd: number | null
  }[]
  roots: Record<string, number>
  policies: Record<string, Record<string, unknown>>
  now: string
  broken: string[]
}
type Table = 'events' | 'reactions' | 'proposals' | 'missions' | 'steps' | 'runs'
const tables: Table[] = ['events', 'reactions', 'proposals', 'missions', 'steps', 'runs']

export interface World {
  sql: work.Connection
  clock: Clock
  workers: string[]
  /** Every claim that was ever given. */
  claims: work.Lease[]
  tokens: Set<string>
  firstVersion: number
  count: number
  before: Snapshot
  draw: Draw
}

/** A command answers a check of what it has done, or nothing. */
type Check = (after: Snapshot) => void
type Command = (world: World) => Promise<Check | undefined>

const unchecked: Check = () => undefined

const executors = ['noop', 'shell', 'http']
const sources = ['api', 'github', 'cron']
const keys = ['key-0', 'key-1', 'key-2']
const patterns = [
  { pattern_id: 'plain' },
  { pattern_id: 'deduped', dedupe_key: 'key-0' },
  { pattern_id: 'cooling', cooldown: { minutes: 10, key: '' } },
  { pattern_id: 'cooling', cooldown: { minutes: 10, key: '' } },
  { pattern_id: 'counting', threshold: { count: 2, within_minutes: 30, key: '' } },
  { pattern_id: 'shadow', mode: 'shadow' },
  { pattern_id: 'broken', template: { title: 'no steps' } },
]

function at<T>(list: readonly T[], n: number): T | undefined {
  return list[n % Math.max(list.length, 1)]
}
function one<T>(list: readonly T[], n: number): T {
  const found = at(list, n)
  if (found === undefined) throw new Error('an empty list')
  return found
}
const text = (row: Row | undefined, field: string) => String(row?.[field] ?? '')
const number = (row: Row | undefined, field: string) => Number(row?.[field] ?? 0)
const endedStatuses = ['succeeded', 'failed', 'cancelled']
const isEnded = (row: Row | undefined) => endedStatuses.includes(text(row, 'status'))
const idsWhere = (rows: Rows, wanted: (row: Row) => boolean) =>
  Object.keys(rows).filter((id) => wanted(rows[id] ?? {}))

/** Shapes of work: one step, a chain, a diamond, a far one, a dear one, one for a person to approve. */
function template({ a, b }: Draw): Row & { steps: work.StepTemplate[] } {
  const kind = one(executors, b)
  const steps: work.StepTemplate[][] = [
    [{ kind }],
    [{ kind }, { kind: 'noop' }, { kind, params: { from: '{{steps.step-1.result}}' } }],
    [
      { key: 'top', kind },
      { key: 'left', kind, depends_on: ['top'], max_retries: 1 },
      { key: 'right', kind: 'noop', depends_on: ['top'] },
      { key: 'join', kind, depends_on: ['left', 'right'] },
      { key: 'apart', kind: 'noop', depends_on: [] },
    ],
    [
      { kind, delay_seconds: 120 },
      { kind, timeout_seconds: 30, priority: -5, max_retries: 2 },
    ],
    [
      { kind: `${kind}:scout`, cost_usd: 4 },
      { kind, cost_usd: 1.5, depends_on: [] },
    ],
  ]
  return {
    title: `work ${a % 97}`,
    risk_level: a % 4 === 0 ? 'high' : 'low',
    ...(a % 3 === 0 ? { agent: 'scout' } : {}),
    steps: one(steps, a),
  }
}

/** One lease, mostly a live one; or one with a token that never was. */
function pickLeases({ claims, before, draw }: World): work.Lease[] {
  const live = claims.filter((l) => before.steps[l.step_id]?.lease_token === l.token)
  const from = draw.b % 4 === 0 || live.length === 0 ? claims : live
  const picked = Array.from({ length: 1 + (draw.c % 3) }, (_, i) => at(from, draw.a + i)).filter(
    (l) => l !== undefined,
  )
  if (draw.b % 5 === 1) return picked.map((l) => ({ ...l, token: '00000000-0000-4000-8000-000000000000' }))
  return picked.map(({ step_id, token }) => ({ step_id, token }))
}

/** The fence: a call by worker is `ok` for a step if and only if its token was the live one. */
function fenced(
  { before }: World,
  leases: work.Lease[],
  answers: readonly { step_id: string; outcome: string }[],
  expected: (before: Row, lease: work.Lease) => string,
) {
  return (after: Snapshot) => {
    const held = leases.filter((l) => before.steps[l.step_id]?.lease_token === l.token)
    for (const { step_id, outcome } of answers)
      expect(outcome, `outcome of ${step_id}`).toBe(held.some((l) => l.step_id === step_id) ? 'ok' : 'lost')
    if (held.length === 0) expect(stateOf(after), 'a lost lease changes nothing').toEqual(stateOf(before))
    const outcomes = held.map((l) => ({ l, row: before.steps[l.step_id] ?? {}, status: '' }))
    for (const o of outcomes) o.status = expected(o.row, o.l)
    const fallen = new Set(outcomes.filter((o) => o.status === 'failed').map((o) => o.row.mission_id))
    for (const { l, row, status } of outcomes) {
      // A death in the same batch takes what would go back to the queue.
      const wanted = status === 'queued' && fallen.has(row.mission_id) ? 'cancelled' : status
      expect(after.steps[l.step_id]?.status, `step ${l.step_id}`).toBe(wanted)
    }
  }
}

/** A proposal is `duplicate` if and only if its key was held, and then it answers with the holder. */
function deduped({ before }: World, key: string | undefined, answer: Answer) {
  return () => {
    const holder = key === undefined ? undefined : before.keys[key]
    expect(answer.code === 'duplicate', `${key} held by ${holder}: ${answer.code}`).toBe(holder !== undefined)
    if (holder !== undefined) expect(answer.proposal_id).toBe(holder)
    else expect(before.proposals[answer.proposal_id]).toBeUndefined()
  }
}

export const commands = {
  async emit({ sql, draw }) {
    const events = Array.from({ length: 1 + (draw.a % 3) }, (_, i) => ({
      type: one(['github:push', 'app:signup', 'work:done'], draw.b + i),
      data: { depth: 99, root_event_id: null, n: draw.a },
      ...(draw.c % 3 === 0 ? { dedupe_key: `event-${draw.b % 5}` } : {}),
    }))
    await sql`select * from ops_emit_events(${JSON.stringify(events)}::text::jsonb)`
    return unchecked
  },

  async settle({ sql, before, draw }) {
    const open = idsWhere(before.events, (e) => e.processed_at === null)
    const known = Object.keys(before.events)
    const events = Array.from({ length: 1 + (draw.a % 4) }, (_, i) =>
      at(draw.b % 5 === 0 ? known : open, draw.a + i),
    )
    const given = events
      .filter((id) => id !== undefined)
      .map((event_id, i) => ({
        event_id,
        decisions: [0, 1].map((j) => ({
          decision: (draw.b + j) % 5 === 4 ? 'not_matched' : 'matched',
          mode: 'active',
          proposal_source: one(sources, draw.c),
          template: template({ ...draw, a: draw.a + i }),
          ...one(patterns, draw.c + i + j * (1 + (draw.b % 5))),
        })),
      }))
    const answers = await settleItems(sql, given, 1)
    return (after) => {
      for (const { event_id, outcome } of answers)
        expect(outcome).toBe(before.events[event_id]?.processed_at === null ? 'settled' : 'skipped')
      const fired = (pattern: string) =>
        Object.values(after.reactions)
          .filter((r) => r.pattern_id === pattern)
          .map((r) => Date.parse(text(after.events[text(r, 'event_id')], 'created_at')))
          .sort((x, y) => x - y)
      const gaps = fired('cooling').map((time, i, all) => time - (all[i - 1] ?? Number.NEGATIVE_INFINITY))
      for (const gap of gaps) expect(gap, 'a cooldown was not kept').toBeGreaterThanOrEqual(10 * 60_000)
      expect(fired('shadow')).toEqual([])
    }
  },

  async react({ sql, draw }) {
    await sql`select * from ops_run_reactions(${1 + (draw.a % 5)})`
    return unchecked
  },

  async propose(world) {
    const { sql, draw } = world
    const dedupeKey = draw.c % 2 === 0 ? one(keys, draw.b) : undefined
    const answer = await propose(sql, template(draw), { source: one(sources, draw.c), dedupeKey })
    return deduped(world, dedupeKey, answer)
  },

  async proposeWindow(world) {
    const { sql, draw } = world
    const dedupe_key = one(keys, draw.b)
    const item = {
      template: template(draw),
      source: one(sources, draw.c),
      dedupe_key,
      dedupe_minutes: draw.c % 30,
    }
    return deduped(world, dedupe_key, await proposeOne(sql, { ...item, proposed_by: 'scout' }))
  },

  async proposeBatch({ sql, draw, before }) {
    const idempotency_key = `call-${draw.b % 3}`
    const items: Item[] = [
      { template: template(draw), idempotency_key },
      { template: { ...template(draw), title: 7 } },
      { template: { title: 'a circle', steps: [{ key: 'a', kind: 'noop', depends_on: ['a'] }] } },
      { template: template(draw), source: 'not a source' },
      { template: template({ ...draw, a: draw.a + 1 }), dedupe_key: one(keys, draw.c) },
    ]
    const answers = await proposeAll(sql, items)
    return () => {
      expect(answers.slice(1, 4).map((a) => a.status)).toEqual(['invalid', 'invalid', 'invalid'])
      const known = idsWhere(before.proposals, (p) => p.idempotency_key === idempotency_key)
      if (known[0]) expect(answers[0]?.proposal_id, 'asked again').toBe(known[0])
    }
  },

  async proposeInvalid({ sql }) {
    await propose(sql, { title: 'no such field', steps: [{ kind: 'noop', speed: 9 }] })
    return () => expect.unreachable('an invalid template was taken')
  },

  async approve({ sql, draw, before }) {
    const pending = idsWhere(before.proposals, (p) => p.status === 'pending')
    const id = at(draw.b % 5 === 0 ? Object.keys(before.proposals) : pending, draw.a)
    if (!id) return
    const actor = draw.c % 7 === 0 ? 'scout' : 'dana'
    const was = before.proposals[id]
    const answer = await approve(sql, id, {
      actor,
      digest: draw.c % 11 === 0 ? 'another' : text(was, 'digest'),
    })
    return (after) => {
      expect(was?.status, 'decided twice').toBe('pending')
      expect(Date.parse(text(was, 'expires_at')), 'approved after it expired').toBeGreaterThan(
        Date.parse(before.now),
      )
      expect(was?.proposed_by, 'approved its own proposal').not.toBe(actor)
      expect(draw.c % 11, 'another template was approved').not.toBe(0)
      expect(answer.mission_id !== null).toBe(answer.status === 'approved')
      expect(after.proposals[id]?.status).toBe(answer.status)
    }
  },

  async reject({ sql, draw, before }) {
    const pending = idsWhere(before.proposals, (p) => p.status === 'pending')
    const id = at(draw.b % 5 === 0 ? Object.keys(before.proposals) : pending, draw.a)
    if (!id) return
    await reject(sql, id)
    return (after) => {
      expect(before.proposals[id]?.status, 'decided twice').toBe('pending')
      expect(after.proposals[id]?.status).toBe('rejected')
    }
  },

  async expire({ sql, before }) {
    const expired = await sqlExpire(sql)
    return () => {
      const due = idsWhere(
        before.proposals,
        (p) => p.status === 'pending' && text(p, 'expires_at') <= before.now,
      )
      expect(expired).toBe(due.length)
    }
  },

  async claim(world) {
    const { sql, draw, workers, before } = world
    const offered = draw.b % 3 === 0 ? executors : [one(executors, draw.b), 'noop']
    const limit = 1 + (draw.a % 6)
    const leaseSeconds = draw.c % 2 === 0 ? 60 : null
    const claims = await work.claim(sql, one(workers, draw.c), { executors: offered, limit, leaseSeconds })
    world.claims.push(...claims)
    return () => {
      const pause = (before.policies.control?.pause ?? {}) as { claims?: boolean; executors?: string[] }
      const claimable = idsWhere(
        before.steps,
        (s) =>
          s.status === 'queued' &&
          text(s, 'run_at') <= before.now &&
          offered.includes(text(s, 'executor')) &&
          !pause.executors?.includes(text(s, 'executor')),
      )
      expect(claims.length).toBe(pause.claims ? 0 : Math.min(limit, claimable.length))
      for (const c of claims) {
        expect(claimable).toContain(c.step_id)
        expect(world.tokens, 'a token was given twice').not.toContain(c.token)
        expect(c.attempt).toBe(number(before.steps[c.step_id], 'attempt') + 1)
        world.tokens.add(c.token)
      }
    }
  },

  async claimNext(world) {
    const [step] = await world.sql<work.Step[]>`select * from ops_claim_next_step(5)`
    if (step?.lease_token) world.claims.push({ step_id: step.id, token: step.lease_token })
    return unchecked
  },

  async renew(world) {
    const leases = pickLeases(world)
    const answers = await work.renew(world.sql, leases, world.draw.c % 2 === 0 ? 120 : null)
    return fenced(world, leases, answers, () => 'running')
  },

  async complete(world) {
    const leases = pickLeases(world)
    const { draw } = world
    const items = leases.map((l) => ({
      ...l,
      result: { n: draw.a },
      ...(draw.a % 3 === 0 ? { cost_usd: draw.a % 7 } : {}),
      ...(draw.a % 2 === 0
        ? { events: [{ type: 'work:done', data: { depth: 0, root_event_id: l.step_id } }] }
        : {}),
    }))
    const answers = await work.complete(world.sql, draw.c % 2 === 0 ? [...items, ...items] : items)
    return fenced(world, leases, answers, () => 'succeeded')
  },

  async fail(world) {
    const leases = pickLeases(world)
    const { draw } = world
    const permanent = draw.a % 2 === 0
    const items = leases.map((l) => ({
      ...l,
      error: 'no such host',
      permanent,
      ...(draw.a % 3 === 0 ? { retry_after_seconds: draw.a % 50 } : {}),
      ...(draw.a % 5 === 0 ? { cost_usd: 1, events: [{ type: 'work:failed' }] } : {}),
    }))
    const answers = await work.fail(world.sql, draw.c % 2 === 0 ? [...items, ...items] : items)
    return fenced(world, leases, answers, (was) =>
      permanent || number(was, 'failure_count') + 1 >= number(was, 'max_retries') ? 'failed' : 'queued',
    )
  },

  async snooze(world) {
    const leases = pickLeases(world).map((l) => ({ ...l, seconds: world.draw.a % 100 }))
    return fenced(world, leases, await work.snooze(world.sql, leases), () => 'queued')
  },

  async release(world) {
    const leases = pickLeases(world)
    return fenced(world, leases, await work.release(world.sql, leases), () => 'queued')
  },

  async recoverExpired({ sql, clock, draw, before }) {
    await clock.advance(one([0, 70, 400], draw.a))
    const answer = await work.recoverExpired(sql)
    return (after) => {
      const due = idsWhere(
        before.steps,
        (s) => s.status === 'running' && text(s, 'lease_expires_at') < after.now,
      )
      for (const id of due) expect(after.steps[id]?.status, 'an expired lease was left').not.toBe('running')
      expect(answer.requeued_steps + answer.failed_steps).toBeLessThanOrEqual(due.length)
    }
  },

  async recoverStale({ sql, clock, draw }) {
    await clock.advance(one([0, 100, 1000], draw.b))
    await work.recoverStale(sql, draw.a % 2 === 0 ? 1 : null)
    return unchecked
  },

  async cancelMission({ sql, draw, before }) {
    const id = at(Object.keys(before.missions), draw.a)
    if (!id) return
    await work.cancelMission(sql, id)
    return (after) => expect(isEnded(after.missions[id])).toBe(true)
  },

  async cancelStep({ sql, draw, before }) {
    const id = at(Object.keys(before.steps), draw.a)
    if (!id) return
    await work.cancelStep(sql, id)
    return (after) => expect(isEnded(after.steps[id])).toBe(true)
  },

  async retry({ sql, draw, before }) {
    const dead = idsWhere(before.steps, (s) => s.status === 'failed')
    const id = at(draw.b % 4 === 0 ? Object.keys(before.steps) : dead, draw.a)
    if (!id) return
    await work.retryStep(sql, id)
    return (after) => {
      expect(before.steps[id]?.status, 'only dead letters can be retried').toBe('failed')
      expect(after.steps[id]?.status).toMatch(/^(queued|waiting)$/)
    }
  },

  async retryDead({ sql, draw }) {
    await sql`select * from ops_retry_dead_steps(null, ${1 + (draw.a % 3)}, 'dana')`
    return unchecked
  },

  async resetByHand({ sql, draw, before }) {
    const dead = idsWhere(before.steps, (s) => s.status === 'failed')
    const ids = draw.b % 3 === 0 ? dead : dead.slice(draw.a % Math.max(dead.length, 1)).slice(0, 1)
    await sql`
      update ops_mission_steps
      set status = 'queued', reserved_at = null, lease_expires_at = null, failure_count = 0, last_error = null
      where id = any (${ids})`
    return (after) => {
      for (const id of ids) expect(text(after.steps[id], 'status')).toMatch(/^(queued|waiting)$/)
    }
  },

  async editByHand({ sql, draw, before }) {
    const id = at(Object.keys(before.steps), draw.a)
    if (!id) return
    const status = one(['waiting', 'queued', 'running', 'succeeded', 'failed', 'cancelled'], draw.b)
    await sql`update ops_mission_steps set status = ${status}::ops_step_status where id = ${id}`
    return (after) => {
      const is = text(after.steps[id], 'status')
      if (status === 'waiting' || status === 'queued') expect(is).toMatch(/^(queued|waiting|cancelled)$/)
      else if (is !== before.steps[id]?.status) expect(is).toBe(status)
    }
  },

  async editMissionByHand({ sql, draw, before }) {
    const id = at(Object.keys(before.missions), draw.a)
    if (!id) return
    const status = one(['queued', 'cancelled', 'succeeded', 'failed'], draw.b)
    await sql`
      update ops_mission_steps set status = ${status}::ops_step_status
      where mission_id = ${id} and status in ('waiting', 'queued', 'failed', 'cancelled')`
    return unchecked
  },

  async insertByHand({ sql, draw, before, count }) {
    const id = at(Object.keys(before.missions), draw.a)
    if (!id) return
    const depends_on = draw.b % 2 === 0 ? [] : idsWhere(before.steps, (s) => s.mission_id === id).slice(0, 1)
    const names = depends_on.map((step) => text(before.steps[step], 'key'))
    await sql`insert into ops_mission_steps (mission_id, kind, key, depends_on) values (${id}, 'noop', ${`by-hand-${count}`}, ${names})`
    return (after) => expect(isEnded(after.missions[id]), 'an open step in an ended mission').toBe(false)
  },

  async deleteByHand({ sql, draw, before }) {
    const id = at(Object.keys(before.steps), draw.a)
    if (!id) return
    await sql`delete from ops_mission_steps where id = ${id}`
    return () => expect(isEnded(before.steps[id]), 'an open step was deleted').toBe(true)
  },

  async finalize({ sql, draw, before }) {
    const id = at(Object.keys(before.missions), draw.a)
    if (!id) return
    await sql`select ops_maybe_finalize_mission(${id})`
    return (after) => {
      // Of a mission whose ended steps were deleted it counts what is left.
      const counted = ({ steps_failed, steps_cancelled, updated_at, ...rest }: Row = {}) => rest
      expect(counted(after.missions[id]), 'rolling up again changes nothing').toEqual(
        counted(before.missions[id]),
      )
      for (const table of tables.filter((name) => name !== 'missions'))
        expect(after[table]).toEqual(before[table])
    }
  },

  async caps({ sql, draw }) {
    const limit = draw.a % 12
    await setPolicy(
      sql,
      'proposal_caps',
      one(
        [
          { daily_limit: limit, daily_budget_usd: draw.b % 40 },
          { per_source: { api: limit, github: draw.b % 5 } },
          { per_agent: { scout: draw.b % 4 }, time_zone: 'Pacific/Auckland' },
          { per_step_kind: { noop: limit, shell: draw.b % 9 } },
          { per_pattern: { plain: draw.b % 3 }, daily_limit: 20 },
          {},
        ],
        draw.c,
      ),
    )
    return unchecked
  },

  async control({ sql, draw }) {
    const part = one(['intake', 'reactions', 'approvals', 'claims'], draw.a)
    await setPolicy(
      sql,
      'control',
      one(
        [
          { pause: { [part]: true } },
          { pause: { executors: [one(executors, draw.a)] } },
          { max_depth: 1 + (draw.a % 3), max_missions_per_root_event: 1 + (draw.b % 4) },
          {},
          {},
        ],
        draw.c,
      ),
    )
    return unchecked
  },

  async otherPolicies({ sql, draw }) {
    const [key, value] = one(
      [
        ['auto_approve', { enabled: draw.a % 2 === 0 }],
        ['approvals', { expires_minutes: 1 + (draw.a % 300) }],
        [
          'worker_policy',
          { max_retries: draw.a % 4, lease_minutes: 1 + (draw.a % 5), backoff_base_seconds: 5 },
        ],
        ['worker_policy', { max_retries: -1 }],
      ] as const,
      draw.c,
    )
    await setPolicy(sql, key, value)
    return unchecked
  },

  async rollback({ sql, draw, firstVersion }) {
    const version = firstVersion + (draw.a % 4)
    await sql`select ops_policy_rollback('proposal_caps', ${version})`
    return unchecked
  },

  async archive({ sql, draw }) {
    await sql`select * from ops_archive(${one(['1 hour', '1 day', '30 days'], draw.a)}::text::interval, ${1 + (draw.b % 5)})`
    return unchecked
  },

  async heartbeat({ sql, draw }) {
    await sql`select ops_record_heartbeat(${draw.a % 2 === 0}, '{}')`
    return unchecked
  },

  async wait({ clock, draw }) {
    await clock.advance(one([1, 20, 90, 300, 400, 1200, 7200, 90_000], draw.a))
    return unchecked
  },
} satisfies Record<string, Command>

export type Verb = keyof typeof commands

/** Verbs that may change what has ended: an operator's. */
export const operatorVerbs: Verb[] = [
  'retry',
  'retryDead',
  'resetByHand',
  'editByHand',
  'editMissionByHand',
  'insertByHand',
]
export const admittingVerbs: Verb[] = ['react', 'propose', 'proposeWindow', 'proposeBatch', 'approve']
export const removingVerbs: Verb[] = ['archive', 'deleteByHand']

export const stateOf = (snapshot: Snapshot) => tables.map((table) => snapshot[table])

/** What has ended stays as it is. */
export function checkEnded(before: Snapshot, after: Snapshot, ...verbs: Verb[]) {
  const operator = verbs.some((verb) => operatorVerbs.includes(verb))
  const removing = verbs.some((verb) => removingVerbs.includes(verb))
  const fixed: Record<Table, (row: Row) => Row | undefined> = {
    events: ({ processed_at, mission_id, run_id, ...rest }) =>
      processed_at === null ? rest : { ...rest, processed_at },
    reactions: (row) => (row.status === 'queued' ? undefined : row),
    // Money is settled, and the row touched, when the mission ends.
    proposals: ({ reserved_usd, updated_at, ...rest }) => (rest.status === 'pending' ? undefined : rest),
    missions: (row) => (isEnded(row) && !operator ? row : undefined),
    steps: (row) => (isEnded(row) && !operator ? row : undefined),
    runs: (row) => row,
  }
  for (const table of tables) {
    for (const [id, was] of Object.entries(before[table])) {
      const is = after[table][id]
      if (is === undefined && removing) continue
      expect(is, `${table} ${id} has gone`).toBeDefined()
      const wanted = fixed[table](was)
      if (wanted) expect(is, `${table} ${id} had ended`).toMatchObject(wanted)
    }
  }
}

/** What this command admitted stands within the limits in force. */
export function checkCaps(before: Snapshot, after: Snapshot) {
  for (const cap of after.caps) {
    const was = before.caps.find((c) => c.scope === cap.scope && c.name === cap.name)
    const name = `${cap.scope} ${cap.name}`
    if (cap.max_units !== null && cap.used > (was?.used ?? 0))
      expect(cap.used, name).toBeLessThanOrEqual(cap.max_units)
    if (cap.max_usd !== null && cap.used_usd > (was?.used_usd ?? 0))
      expect(cap.used_usd, name).toBeLessThanOrEqual(cap.max_usd)
  }
  const control = after.policies.control
  for (const [root, missions] of Object.entries(after.roots)) {
    if (missions > (before.roots[root] ?? 0))
      expect(missions, 'missions of one event').toBeLessThanOrEqual(
        Number(control?.max_missions_per_root_event ?? 50),
      )
  }
  for (const id of idsWhere(after.proposals, (p) => p.root_event_id !== null && p.cap_day !== null)) {
    if (!before.proposals[id])
      expect(number(after.proposals[id], 'depth'), 'depth').toBeLessThan(Number(control?.max_depth ?? 8))
  }
}

export async function look(sql: work.Connection): Promise<Snapshot> {
  const rows = (relation: string) =>
    sql.unsafe(`(select coalesce(jsonb_object_agg(t.id, to_jsonb(t)), '{}') from ${relation} t)`)
  const [snapshot] = await sql<Snapshot[]>`
    select ${rows('ops_agent_events')} as events, ${rows('ops_agent_reactions')} as reactions,
      ${rows('ops_mission_proposals')} as proposals, ${rows('ops_missions')} as missions,
      ${rows('ops_mission_steps')} as steps, ${rows('ops_action_runs')} as runs,
      (select coalesce(jsonb_object_agg(k.dedupe_key, k.proposal_id), '{}') from ops.live_keys k
       where k.live or k.held_until > ops.now()) as keys,
      (select coalesce(jsonb_agg(to_jsonb(c)), '[]') from ops_cap_usage() c) as caps,
      (select coalesce(jsonb_object_agg(r.root_event_id, r.missions), '{}') from ops.root_missions r) as roots,
      (select jsonb_object_agg(p.key, p.value) from ops_policy p) as policies,
      to_jsonb(ops.now()) #>> '{}' as now,
      array(select b.invariant || ': ' || b.problem || ' (' || b.id || ')' from ops.broken_invariants() b) as broken`
  if (!snapshot) throw new Error('no answer')
  return snapshot
}

/** A loop without work, with two workers, whose clock stands. `before` and `draw` are the next command's. */
export async function newWorld(
  db: SharedDatabase,
  sql: work.Connection,
): Promise<Omit<World, 'draw' | 'before'>> {
  await db.reset()
  const clock = await stopClock(sql)
  await setPolicy(sql, 'auto_approve', { enabled: true, max_risk_level: 'medium' })
  await sql`select setseed(0.5)` // backoff is random
  const workers = [
    await work.registerWorker(sql, 'worker-1', executors),
    await work.registerWorker(sql, 'worker-2', executors, { max_retries: 2, lease_minutes: 1 }),
  ]
  const [policy] = await sql<
    { version: number }[]
  >`select version from ops_policy where key = 'proposal_caps'`
  const firstVersion = policy?.version ?? 1
  return { sql, clock, workers, claims: [], tokens: new Set(), firstVersion, count: 0 }
}

/** Does what was drawn; whatever the engine refuses by a code of its own is no error. */
export async function attempt(world: World): Promise<{ check?: Check | undefined; refused: boolean }> {
  const command: Command = commands[world.draw.verb]
  try {
    return { check: await command(world), refused: false }
  } catch (error) {
    if (error instanceof postgres.PostgresError && /^OP\d{3}$/.test(error.code)) return { refused: true }
    throw error
  }
}

/** How often a verb is drawn; what moves work along is drawn more. */
const weights: Partial<Record<Verb, number>> = {
  propose: 5,
  claim: 7,
  complete: 6,
  fail: 5,
  emit: 3,
  settle: 4,
  react: 4,
  wait: 4,
  recoverExpired: 2,
  retry: 2,
  resetByHand: 2,
  editByHand: 2,
}
const verbs = Object.keys(commands).filter((name): name is Verb => name in commands)
// A counterexample is shrunk by leaving commands out.
export const draw: fc.Arbitrary<Draw> = fc.noShrink(
  fc.record(
    {
      verb: fc.oneof(...verbs.map((verb) => ({ weight: weights[verb] ?? 1, arbitrary: fc.constant(verb) }))),
      a: fc.nat(999),
      b: fc.nat(999),
      c: fc.nat(999),
    },
    { noNullPrototype: true },
  ),
)

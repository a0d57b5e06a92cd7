/** A day of work by the real engine on a real Postgres, under a clock that is set: for recordings. */
import webhooks from '@octokit/webhooks-examples/api.github.com/index.json' with { type: 'json' }
import { triggerReactions } from '../api/trigger.js'
import type { ClaimedStep, Engine, EventInput, JsonObject } from '../engine/index.js'
import { defaultPolicies } from '../policies/index.js'
import { pattern } from '../policies/testing.js'
import type { TestDatabase } from '../test/support/database.js'

type Sql = TestDatabase['sql']

export interface DayOptions {
  sql: Sql
  engine: Engine
  /** ISO 8601. */
  start: string
  beats: number
  eventsPerBeat: number
}

/** Between two beats of the day. */
const BEAT_SECONDS = 900

/** Numbers from [0, 1) that are the same in every run. */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The engine's clock stands where it is put, and goes on by a microsecond whenever it is read. */
export async function settableClock(sql: Sql, at: string): Promise<(at: Date) => Promise<void>> {
  await sql.unsafe(`
    create table ops.test_clock as select '${at}'::timestamptz as at;
    create sequence ops.test_ticks;
    create or replace function ops.now() returns timestamptz language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp as $$
    begin return (select at from ops.test_clock) + nextval('ops.test_ticks') * interval '1 microsecond'; end $$`)
  return async (to) => {
    await sql`update ops.test_clock set at = ${to.toISOString()}::text::timestamptz`
  }
}

const github: EventInput[] = webhooks.flatMap(({ name, examples }) =>
  examples.map((payload: JsonObject) => ({
    type: typeof payload.action === 'string' ? `github:${name}.${payload.action}` : `github:${name}`,
    data: { ...payload, source: 'github' },
  })),
)

const template = (title: string, fields: JsonObject = {}, step: JsonObject = {}) => ({
  title,
  risk_level: 'low',
  steps: [{ key: 'do', kind: 'noop', ...step }],
  ...fields,
})

/** A pattern for each thing that a pattern can do, beside those of the default matrix. */
export function dayMatrix(): { patterns: Record<string, unknown>[]; salt: string } {
  const { patterns } = defaultPolicies.reaction_matrix
  const costly = template('Costly {{event.data.n}}', {}, { cost_usd: 1.5 })
  return {
    salt: 'day',
    patterns: [
      ...(Array.isArray(patterns) ? patterns : []),
      pattern({ id: 'share', event_type: 'app:share', probability: 0.3, template: template('Share') }),
      pattern({
        id: 'cool',
        event_type: 'app:c*',
        cooldown_minutes: 45,
        cooldown_key: '{{event.data.host}}',
        proposal_source: 'cool',
        template: template('Cool {{event.data.host}} {{event.id}}', { agent: 'triage' }),
      }),
      pattern({
        id: 'many',
        event_type: 'app:many',
        threshold: { count: 5, within_minutes: 20, key: '{{event.data.host}}' },
        dedupe_key: 'many-{{event.data.host}}',
        proposal_source: 'many',
        template: template('Many', { steps: [{ kind: 'noop' }, { kind: 'noop' }] }),
      }),
      pattern({
        id: 'peek',
        mode: 'shadow',
        event_type: 'app:*',
        when: 'event.data.n > 40',
        cooldown_minutes: 10,
        template: template('Peek'),
      }),
      pattern({ id: 'costly', event_type: 'app:costly', proposal_source: 'costly', template: costly }),
      pattern({
        id: 'risky',
        event_type: 'app:risky',
        dedupe_key: 'risky-{{event.data.host}}',
        template: template('Risky {{event.data.host}}', { risk_level: 'high' }),
      }),
      pattern({
        id: 'again',
        event_type: ['mission:succeeded', 'app:emitted'],
        probability: 0.2,
        proposal_source: 'again',
        dedupe_key: 'again-{{event.data.mission_id}}',
        template: template('Again after {{event.data.mission_id}}', {}, { params: { from: '{{event.id}}' } }),
      }),
      pattern({ id: 'fails', event_type: 'app:cold', when: 'event.data.nothing > 1' }),
    ],
  }
}

/** What a heartbeat does, in small batches. */
async function beat(engine: Engine): Promise<void> {
  await engine.sendCanary()
  while ((await triggerReactions(engine, 25)).more);
  while ((await engine.runReactions(10)).length === 10);
  await engine.recoverExpiredLeases()
  await engine.recoverStaleSteps()
  await engine.expireProposals()
  await engine.recordHeartbeat(true, {})
}

/** Lets a day pass. Answers how many events came from outside. */
export async function liveThroughDay({
  sql,
  engine,
  start,
  beats,
  eventsPerBeat,
}: DayOptions): Promise<number> {
  const random = seeded(20_260_131)
  const pick = <T>(items: readonly T[]): T | undefined => items[Math.floor(random() * items.length)]
  const setClock = await settableClock(sql, start)
  // Tests' databases send no canary unless they are asked for it.
  await sql`delete from ops.watch where part = 'canary'`
  const policy = (key: string, value: unknown) =>
    sql`insert into ops_policy (key, value) values (${key}, ${JSON.stringify(value)}::text::jsonb)
        on conflict (key) do update set value = excluded.value`
  const matrix = dayMatrix()
  await policy('reaction_matrix', matrix)
  await policy('proposal_caps', {
    daily_limit: 130,
    per_source: { 'github-issues': 6, cool: 40, again: 15 },
    per_agent: { triage: 50 },
    per_pattern: { share: 25 },
    daily_budget_usd: 25,
    time_zone: 'America/New_York',
  })
  await policy('approvals', { expires_minutes: 90 })
  const control = { max_depth: 4, max_missions_per_root_event: 2 }
  await policy('control', control)

  const begin = Date.parse(start)
  let beatNumber = 0
  const at = (seconds: number) => setClock(new Date(begin + (beatNumber * BEAT_SECONDS + seconds) * 1000))
  const worker = await engine.registerWorker({
    name: 'day',
    version: '0',
    executors: ['noop', 'radar'],
    concurrency: 50,
    schema_version: 99,
  })
  let reported = 0
  let claimed: ClaimedStep[] = []

  const report = async (count: number) => {
    const events = Array.from({ length: count }, (): EventInput => {
      reported += 1
      const host = `h${Math.floor(random() * 6)}`
      if (random() < 0.04) {
        const event = pick(github)
        if (event) return event
      }
      const type = pick([
        'share',
        'cool',
        'cold',
        'many',
        'costly',
        'risky',
        'idle',
        'idle',
        'idle',
        'idle',
        'idle',
      ])
      return {
        type: `app:${type}`,
        data: { host, n: Math.floor(random() * 50) },
        dedupe_key: random() < 0.2 ? `event-${reported}` : undefined,
      }
    })
    await engine.emitEvents(events)
  }

  const claim = async () => {
    claimed = await engine.claimSteps({
      worker_id: worker.worker_id,
      executors: ['noop', 'radar'],
      limit: 40,
      lease_seconds: 2 * BEAT_SECONDS,
    })
  }

  /** Ends what was claimed a beat ago: what happens meanwhile stands between, and a claim is often the last before a beat. */
  const finish = async () => {
    const ends = claimed.map((step) => ({ step, chance: random(), cost: random() }))
    const leaseOf = ({ step: { step_id, token } }: (typeof ends)[number]) => ({ step_id, token })
    await engine.completeSteps(
      ends
        .filter(({ chance }) => chance < 0.75)
        .map((end) => ({
          ...leaseOf(end),
          ...(end.cost < 0.5 && { cost_usd: Math.round(end.cost * 1e4) / 1e4 }),
          ...(end.cost < 0.3 && {
            events: [{ type: 'app:emitted', data: { mission_id: end.step.mission_id } }],
          }),
        })),
    )
    await engine.failSteps(
      ends
        .filter(({ chance }) => chance >= 0.75 && chance < 0.95)
        .map((end) => ({ ...leaseOf(end), error: 'it broke', permanent: end.chance > 0.88 })),
    )
    await engine.snoozeSteps(
      ends.filter(({ chance }) => chance >= 0.95).map((end) => ({ ...leaseOf(end), seconds: 60 })),
    )
  }

  const decide = async () => {
    const pending = await engine.listProposals({ status: 'pending' }, 10)
    for (const { id } of pending) {
      const chance = random()
      if (chance < 0.15) await engine.approveProposal(id, { actor: 'ada', note: 'go on' })
      else if (chance < 0.25) await engine.rejectProposal(id, { actor: 'bob' })
    }
  }

  const operate = async () => {
    const [open] = await engine.listMissions({ status: 'running' }, 1)
    if (open && random() < 0.5) await engine.cancelMission(open.id, { actor: 'ada', reason: 'not now' })
    if (random() < 0.5) await engine.retryDeadSteps({ limit: 1, actor: 'ada' })
  }

  for (; beatNumber < beats; beatNumber++) {
    const share = beatNumber / beats
    await at(0)
    // Shallow for a while in which missions still run: later the day's caps leave too few to go too deep.
    if (beatNumber === Math.floor(beats * 0.22)) await policy('control', { ...control, max_depth: 1 })
    if (beatNumber === Math.floor(beats * 0.3)) await policy('control', control)
    if (beatNumber === Math.floor(beats * 0.4)) {
      await policy('reaction_matrix', {
        ...matrix,
        patterns: matrix.patterns.filter(({ id }) => id !== 'cool'),
      })
      await policy('agent_roles', { triage: { instructions: 'Look again.' } })
    }
    if (beatNumber === Math.floor(beats * 0.5)) {
      await policy('reaction_matrix', matrix)
      await policy('control', { ...control, pause: { reactions: true } })
    }
    if (beatNumber === Math.floor(beats * 0.5) + 3) await policy('control', { max_depth: 1 })
    if (beatNumber === Math.floor(beats * 0.6)) await sql`delete from ops_policy where key = 'retention'`
    await report(Math.ceil(eventsPerBeat / 2))
    await at(60)
    await report(Math.floor(eventsPerBeat / 2))
    if (random() < 0.15) {
      await engine.createProposal({
        source: 'api',
        dedupe_key: `many-h${Math.floor(random() * 6)}`,
        template: {
          title: 'By a client',
          risk_level: share < 0.5 ? 'low' : 'high',
          steps: [{ kind: 'noop', cost_usd: 0.2 }],
        },
      })
    }
    await at(120)
    await beat(engine)
    await at(150)
    if (beatNumber % 2 === 0) await decide()
    await at(200 + random() * 60)
    await finish()
    await at(280)
    if (beatNumber % 4 === 0) await operate()
    await at(300)
    await claim()
  }
  return reported
}

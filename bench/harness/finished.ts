import type postgres from 'postgres'
import { inLanes, type StoreOptions } from './lanes.js'

const STEPS_PER_MISSION = 10
const CHUNK = 5_000
/** Finished work lies behind: no beat has it still to add up, and none has it to archive. */
const DAYS = 30

/**
 * Finished missions of ten steps in a row, evenly over the thirty days that ended an hour ago, each step with its run: as many events as steps, one
 * of them the mission's end and the others emitted by its steps, all of them settled. Rows are what the engine leaves behind, in every column that it
 * fills, and are stored with all triggers and constraints in force, over as many connections as the pool has. By the owner.
 */
export async function storeFinished(
  sql: postgres.Sql,
  steps: number,
  options: StoreOptions = {},
): Promise<void> {
  const missions = Math.ceil(steps / STEPS_PER_MISSION)
  const template = {
    title: 'nightly report',
    risk_level: 'low',
    steps: Array.from({ length: STEPS_PER_MISSION }, (_, n) => ({ kind: 'noop', params: { part: n + 1 } })),
  }
  const [facts] = await sql<{ digest: string; snapshot: postgres.JSONValue }[]>`
    select ops.template_digest(${sql.json(template)}) as digest, ops.policy_snapshot() as snapshot`
  if (!facts) throw new Error('the schema is not there')
  const { digest } = facts
  const byMission = {
    ...options,
    onProgress: (done: number) => options.onProgress?.(done * STEPS_PER_MISSION),
  }
  const snapshot = sql.json(facts.snapshot)

  await inLanes(sql, missions, CHUNK, byMission, async (tx, from, to) => {
    // Ids are ordered by time, as the engine's are. The number of a row within its mission makes them different.
    const chain = tx`(
      select n, at, lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '70008000' as head
      from (select n, now() - interval '1 hour' - interval '${tx.unsafe(String(DAYS))} days' * (1 - n / ${missions}::float8) as at
            from generate_series(${from}::int, ${to - 1}::int) n) c) c`
    const id = (row: postgres.PendingQuery<postgres.Row[]>) =>
      tx`(head || lpad(to_hex(n * ${STEPS_PER_MISSION + 1}::bigint + ${row}), 12, '0'))::uuid`
    const mission = id(tx`0`)
    const step = id(tx`p`)
    const ended = tx`at + p * interval '1 second'`
    const eachStep = tx`${chain}, generate_series(1, ${STEPS_PER_MISSION}::int) p`

    await tx`
      insert into ops_mission_proposals (id, source, status, template, digest, code, reason, policy_snapshot, approved_at, decided_at, decided_by,
        created_at, updated_at)
      select ${mission}, 'bench', 'auto_approved', ${tx.json(template)}, ${digest}, 'auto_approved', 'admitted by policy auto_approve', ${snapshot},
        at, at, 'policy:auto_approve', at, at from ${chain}`
    await tx`
      insert into ops.decisions (proposal_id, decision, digest, actor, actor_context, at)
      select ${mission}, 'auto_approved', ${digest}, 'policy:auto_approve', '{}', at from ${chain}`
    await tx`
      insert into ops_missions (id, proposal_id, policy_snapshot, title, source, root_event_id, status, steps_total, created_at, updated_at, started_at,
        completed_at)
      select ${mission}, ${mission}, ${snapshot}, ${template.title}, 'bench', ${mission}, 'succeeded', ${STEPS_PER_MISSION}, at,
        at + ${STEPS_PER_MISSION} * interval '1 second', at, at + ${STEPS_PER_MISSION} * interval '1 second' from ${chain}`
    await tx`
      insert into ops_mission_steps (id, mission_id, kind, params, status, executor, key, position, depends_on, result, attempt, max_retries, revision,
        created_at, updated_at, run_at, reserved_at, completed_at)
      select ${step}, ${mission}, 'noop', jsonb_build_object('part', p), 'succeeded', 'noop', 'step-' || p, p,
        case when p > 1 then array['step-' || p - 1] else '{}' end, '{"ok": true}', 1, 3, case when p > 1 then 4 else 3 end,
        at, ${ended}, at, ${ended} - interval '1 second', ${ended}
      from ${eachStep}`
    await tx`
      insert into ops_action_runs (id, step_id, executor, status, attempt, started_at, completed_at)
      select ${step}, ${step}, 'noop', 'succeeded', 1, ${ended} - interval '1 second', ${ended} from ${eachStep}`
    await tx`
      insert into ops_agent_events (id, round, type, data, mission_id, run_id, root_event_id, depth, processed_at, created_at)
      select ${step}, case when last then 1 end, case when last then 'mission:succeeded' else 'bench:part' end,
        case when last
          then jsonb_build_object('mission_id', ${mission}, 'proposal_id', ${mission}, 'title', ${template.title}::text, 'source', 'bench',
            'status', 'succeeded', 'steps', ${tx.json(Object.fromEntries(template.steps.map((_, n) => [`step-${n + 1}`, 'succeeded'])))}::jsonb)
          else jsonb_build_object('part', p, 'found', 'nothing new') end,
        ${mission}, case when not last then ${step} end, ${mission}, 1, ${ended} + interval '1 minute', ${ended}
      from ${eachStep}, lateral (select p = ${STEPS_PER_MISSION} as last) l`
    await tx`
      insert into ops.event_verdicts (event_id, policy_version, settled_at)
      select ${step}, 1, ${ended} + interval '1 minute' from ${eachStep}`
  })
}

import type postgres from 'postgres'
import { inLanes, type StoreOptions } from './lanes.js'

const CHUNK = 20_000

/** `queued` steps are due since they were stored; `scheduled` ones at some time within the thirty days from tomorrow. */
export type Backlog = 'queued' | 'scheduled'

/**
 * Admitted missions of one step that nobody has claimed, as the gate leaves them: stored with all triggers and constraints in force, over as many
 * connections as the pool has. A failure kills none of the steps. By the owner.
 */
export async function storeBacklog(
  sql: postgres.Sql,
  backlog: Backlog,
  steps: number,
  options: StoreOptions = {},
): Promise<void> {
  const template = { title: 'bench', risk_level: 'low', steps: [{ kind: 'noop', key: 'step-1' }] }
  await inLanes(sql, steps, CHUNK, options, async (tx, from, to) => {
    const due =
      backlog === 'queued' ? tx`now()` : tx`now() + interval '1 day' + random() * interval '30 days'`
    await tx`
      with template as materialized (
        select template, ops.template_digest(template) as digest, ops.policy_snapshot() as snapshot
        from (select ${tx.json(template)}::jsonb as template) t
      ), proposal as (
        insert into ops_mission_proposals (source, status, template, digest, code, reason, policy_snapshot, approved_at, decided_at, decided_by)
        select 'bench', 'auto_approved', template, digest, 'auto_approved', 'admitted by policy auto_approve', snapshot, now(), now(),
          'policy:auto_approve'
        from template, generate_series(1, ${to - from}::int)
        returning id, digest, policy_snapshot
      ), decision as (
        insert into ops.decisions (proposal_id, decision, digest, actor, actor_context)
        select id, 'auto_approved', digest, 'policy:auto_approve', '{}' from proposal
      ), mission as (
        insert into ops_missions (proposal_id, policy_snapshot, title, source, root_event_id, steps_total, steps_open)
        select id, policy_snapshot, 'bench', 'bench', id, 1, 1 from proposal
        returning id
      )
      insert into ops_mission_steps (mission_id, kind, executor, key, position, run_at, ready, declared_retries, revision)
      select id, 'noop', 'noop', 'step-1', 1, due, due <= now(), 100, 1
      from (select id, ${due} as due from mission) m`
  })
}

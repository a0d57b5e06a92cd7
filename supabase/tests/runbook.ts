/**
 * Every SQL statement of the VoxYZ operations runbook, in its order and words, for tests that run them on ours.
 *
 * Comments and the closing semicolon are left out. Placeholders stand as they do there.
 */
export interface RunbookStatement {
  /** Where in the runbook. */
  heading: string
  sql: string
  /** Why no Postgres runs it as it stands there, and what answers the question here. */
  slip?: string
}

export const runbook: readonly RunbookStatement[] = [
  {
    heading: 'Verify tables created',
    sql: `SELECT tablename FROM pg_tables WHERE schemaname = 'public'
      AND tablename LIKE 'ops_%'`,
  },
  {
    heading: 'Verify functions created',
    sql: `SELECT routine_name FROM information_schema.routines
      WHERE routine_schema = 'public' AND routine_name LIKE 'ops_%'`,
  },
  {
    heading: 'Verify policies seeded',
    sql: `SELECT key, jsonb_pretty(value) as policy
      FROM ops_policy
      WHERE key IN ('reaction_matrix', 'auto_approve', 'proposal_caps', 'worker_policy', 'agent_roles')`,
  },
  {
    heading: 'For additive changes (SAFE)',
    sql: `ALTER TABLE ops_mission_steps ADD COLUMN metadata jsonb default '{}'::jsonb`,
  },
  {
    heading: 'Phase 1: Add new column (code-neutral)',
    sql: `ALTER TABLE ops_mission_steps ADD COLUMN new_field text`,
  },
  {
    heading: 'Phase 3: Backfill data',
    sql: `UPDATE ops_mission_steps SET new_field = old_field WHERE new_field IS NULL`,
  },
  {
    heading: 'Phase 5: Remove old field',
    sql: `ALTER TABLE ops_mission_steps DROP COLUMN old_field`,
  },
  {
    heading: 'Heartbeat Health',
    sql: `SELECT
        date_trunc('hour', created_at) as hour,
        count(*) filter (where type = 'heartbeat:success') as successes,
        count(*) filter (where type = 'heartbeat:failure') as failures
      FROM ops_agent_events
      WHERE created_at > now() - interval '24 hours'
      GROUP BY 1
      ORDER BY 1 DESC`,
  },
  {
    heading: 'Worker Health',
    sql: `SELECT
        date_trunc('hour', reserved_at) as hour,
        count(*) as steps_claimed,
        count(*) filter (where status = 'succeeded') as succeeded,
        count(*) filter (where status = 'failed') as failed
      FROM ops_mission_steps
      WHERE reserved_at > now() - interval '24 hours'
      GROUP BY 1
      ORDER BY 1 DESC`,
  },
  {
    heading: 'Proposal Processing Latency',
    sql: `SELECT
        avg(extract(epoch from (p.created_at - e.created_at))) as avg_latency_seconds,
        percentile_cont(0.5) within group (extract(epoch from (p.created_at - e.created_at)) order by p.created_at) as p50_latency,
        percentile_cont(0.95) within group (extract(epoch from (p.created_at - e.created_at)) order by p.created_at) as p95_latency
      FROM ops_mission_proposals p
      JOIN ops_agent_events e ON p.source = 'trigger'
      WHERE p.created_at > now() - interval '24 hours'`,
    slip: '`percentile_cont` has its arguments in the wrong place, and the join has no condition: view ops_proposal_latency',
  },
  {
    heading: 'Step Execution Duration',
    sql: `SELECT
        kind,
        avg(extract(epoch from (updated_at - created_at))) as avg_duration_seconds,
        count(*) as total_steps
      FROM ops_mission_steps
      WHERE status IN ('succeeded', 'failed')
      AND created_at > now() - interval '24 hours'
      GROUP BY kind
      ORDER BY 2 DESC`,
  },
  {
    heading: 'Proposal Rate',
    sql: `SELECT
        date_trunc('day', created_at) as day,
        source,
        count(*) as proposals
      FROM ops_mission_proposals
      WHERE created_at > now() - interval '7 days'
      GROUP BY 1, 2
      ORDER BY 1 DESC, 2`,
  },
  {
    heading: 'Mission Success Rate',
    sql: `SELECT
        date_trunc('day', completed_at) as day,
        count(*) as total_missions,
        count(*) filter (where status = 'succeeded') as succeeded,
        100.0 * count(*) filter (where status = 'succeeded') / count(*) as success_rate_pct
      FROM ops_missions
      WHERE completed_at > now() - interval '7 days'
      GROUP BY 1
      ORDER BY 1 DESC`,
  },
  {
    heading: 'Dead Letter Rate',
    sql: `SELECT
        date_trunc('day', updated_at) as day,
        count(*) as dead_letters
      FROM ops_mission_steps
      WHERE status = 'failed' AND failure_count >= (SELECT coalesce((value->>'max_retries')::int, 3) FROM ops_policy WHERE key = 'worker_policy')
      AND updated_at > now() - interval '7 days'
      GROUP BY 1
      ORDER BY 1 DESC`,
  },
  {
    heading: 'Query 1: Active Missions',
    sql: `SELECT
        status,
        count(*) as count
      FROM ops_missions
      WHERE created_at > now() - interval '24 hours'
      GROUP BY status`,
  },
  {
    heading: 'Query 2: Queue Depth',
    sql: `SELECT
        'queued_events' as metric, count(*) FROM ops_agent_events WHERE processed_at IS NULL
      UNION ALL
      SELECT 'queued_reactions', count(*) FROM ops_agent_reactions WHERE status = 'queued'
      UNION ALL
      SELECT 'queued_steps', count(*) FROM ops_mission_steps WHERE status = 'queued'`,
  },
  {
    heading: 'Query 3: Recent Errors',
    sql: `SELECT
        s.kind,
        s.last_error,
        s.updated_at
      FROM ops_mission_steps s
      WHERE s.status = 'failed'
      ORDER BY s.updated_at DESC
      LIMIT 20`,
  },
  {
    heading: 'Issue 1: Heartbeat Not Processing Events',
    sql: `SELECT count(*) as unprocessed_events
      FROM ops_agent_events
      WHERE processed_at IS NULL`,
  },
  {
    heading: 'Issue 1: Heartbeat Not Processing Events',
    sql: `SELECT * FROM ops_agent_events
      WHERE type IN ('heartbeat:success', 'heartbeat:failure')
      ORDER BY created_at DESC
      LIMIT 5`,
  },
  {
    heading: 'Database connection failure',
    sql: `SELECT 1`,
  },
  {
    heading: 'Reaction matrix not configured',
    sql: `SELECT * FROM ops_policy WHERE key = 'reaction_matrix'`,
  },
  {
    heading: 'Issue 2: No Reactions Created',
    sql: `SELECT key, jsonb_pretty(value)
      FROM ops_policy
      WHERE key = 'reaction_matrix'`,
  },
  {
    heading: 'Issue 2: No Reactions Created',
    sql: `SELECT
        e.type,
        e.data,
        e.processed_at
      FROM ops_agent_events e
      WHERE e.created_at > now() - interval '1 hour'
      ORDER BY e.created_at DESC
      LIMIT 10`,
  },
  {
    heading: 'Issue 3: Proposals Not Auto-Approved',
    sql: `SELECT jsonb_pretty(value)
      FROM ops_policy
      WHERE key = 'auto_approve'`,
  },
  {
    heading: 'Issue 3: Proposals Not Auto-Approved',
    sql: `SELECT
        id,
        jsonb_pretty(template) as proposal,
        created_at
      FROM ops_mission_proposals
      WHERE status = 'pending'
      ORDER BY created_at DESC
      LIMIT 5`,
  },
  {
    heading: 'Issue 3: Proposals Not Auto-Approved',
    sql: `SELECT * FROM ops_gate_proposal(
        (SELECT id FROM ops_mission_proposals WHERE status = 'pending' LIMIT 1)
      )`,
  },
  {
    heading: 'Auto-approve disabled',
    sql: `UPDATE ops_policy
      SET value = jsonb_set(value, '{enabled}', 'true'::jsonb)
      WHERE key = 'auto_approve'`,
  },
  {
    heading: 'Step kind not in allowed list',
    sql: `UPDATE ops_policy
      SET value = jsonb_set(
        value,
        '{allowed_step_kinds}',
        '["noop", "openclaw", "wreckit", "radar", "minion"]'::jsonb
      )
      WHERE key = 'auto_approve'`,
  },
  {
    heading: 'Proposal caps exceeded',
    sql: `SELECT jsonb_pretty(value) FROM ops_policy WHERE key = 'proposal_caps'`,
  },
  {
    heading: 'Issue 4: Worker Not Claiming Steps',
    sql: `SELECT
        id,
        kind,
        executor,
        created_at,
        reserved_at,
        lease_expires_at
      FROM ops_mission_steps
      WHERE status = 'queued'
      ORDER BY created_at ASC
      LIMIT 10`,
  },
  {
    heading: 'Issue 4: Worker Not Claiming Steps',
    sql: `SELECT
        id,
        kind,
        status,
        reserved_at,
        lease_expires_at,
        failure_count
      FROM ops_mission_steps
      WHERE status = 'running'
      AND lease_expires_at < now() - interval '5 minutes'`,
  },
  {
    heading: 'Lease expired but not recovered',
    sql: `SELECT ops_recover_stale_steps()`,
  },
  {
    heading: 'Issue 5: Steps Failing Repeatedly',
    sql: `SELECT
        id,
        kind,
        executor,
        failure_count,
        max_retries,
        last_error,
        updated_at
      FROM ops_mission_steps
      WHERE status = 'failed'
      ORDER BY updated_at DESC
      LIMIT 20`,
  },
  {
    heading: 'Issue 5: Steps Failing Repeatedly',
    sql: `SELECT
        s.*,
        m.status as mission_status
      FROM ops_mission_steps s
      JOIN ops_missions m ON s.mission_id = m.id
      WHERE s.status = 'failed'
      AND s.failure_count >= (SELECT coalesce((value->>'max_retries')::int, 3) FROM ops_policy WHERE key = 'worker_policy')
      ORDER BY s.updated_at DESC`,
  },
  {
    heading: 'Manual Retry Procedure',
    sql: `UPDATE ops_mission_steps
      SET
        status = 'queued',
        reserved_at = NULL,
        lease_expires_at = NULL,
        failure_count = 0,
        last_error = NULL
      WHERE id = '<step-id>'`,
  },
  {
    heading: 'Issue 6: Database Performance Degradation',
    sql: `SELECT
        schemaname,
        tablename,
        pg_size_pretty(pg_total_relation_size(schemaname||'.'||tablename)) as size
      FROM pg_tables
      WHERE schemaname = 'public'
      AND tablename LIKE 'ops_%'
      ORDER BY pg_total_relation_size(schemaname||'.'||tablename) DESC`,
  },
  {
    heading: 'Issue 6: Database Performance Degradation',
    sql: `SELECT
        schemaname,
        tablename,
        indexname,
        idx_scan as index_scans,
        pg_size_pretty(pg_relation_size(indexrelid)) as index_size
      FROM pg_stat_user_indexes
      WHERE schemaname = 'public'
      AND tablename LIKE 'ops_%'
      ORDER BY idx_scan ASC`,
    slip: 'pg_stat_user_indexes calls its columns relname and indexrelname: view ops_table_sizes for the sizes',
  },
  {
    heading: 'Add missing indexes',
    sql: `CREATE INDEX IF NOT EXISTS idx_ops_mission_steps_kind_created
      ON ops_mission_steps (kind, created_at DESC)`,
  },
  {
    heading: 'Vacuum and analyze',
    sql: `VACUUM ANALYZE ops_agent_events`,
  },
  {
    heading: 'Vacuum and analyze',
    sql: `VACUUM ANALYZE ops_mission_steps`,
  },
  {
    heading: 'System Health Overview',
    sql: `WITH
      event_stats AS (
        SELECT
          count(*) FILTER (WHERE processed_at IS NULL) as unprocessed_events,
          count(*) FILTER (WHERE processed_at > now() - interval '1 hour') as recent_events
        FROM ops_agent_events
        WHERE created_at > now() - interval '24 hours'
      ),
      reaction_stats AS (
        SELECT
          count(*) FILTER (WHERE status = 'queued') as queued_reactions,
          count(*) FILTER (WHERE status = 'processing') as processing_reactions
        FROM ops_agent_reactions
        WHERE created_at > now() - interval '24 hours'
      ),
      proposal_stats AS (
        SELECT
          count(*) FILTER (WHERE status = 'pending') as pending_proposals,
          count(*) FILTER (WHERE created_at > now() - interval '1 hour') as recent_proposals
        FROM ops_mission_proposals
        WHERE created_at > now() - interval '24 hours'
      ),
      mission_stats AS (
        SELECT
          count(*) FILTER (WHERE status = 'running') as running_missions,
          count(*) FILTER (WHERE status = 'failed') as failed_missions
        FROM ops_missions
        WHERE created_at > now() - interval '24 hours'
      ),
      step_stats AS (
        SELECT
          count(*) FILTER (WHERE status = 'queued') as queued_steps,
          count(*) FILTER (WHERE status = 'running') as running_steps,
          count(*) FILTER (WHERE status = 'failed') as failed_steps
        FROM ops_mission_steps
        WHERE created_at > now() - interval '24 hours'
      )
      SELECT
        event_stats.*,
        reaction_stats.*,
        proposal_stats.*,
        mission_stats.*,
        step_stats.*
      FROM event_stats, reaction_stats, proposal_stats, mission_stats, step_stats`,
  },
  {
    heading: 'Recent Failures',
    sql: `SELECT
        s.id as step_id,
        s.kind,
        s.executor,
        s.last_error,
        s.failure_count,
        s.updated_at,
        m.id as mission_id,
        p.source as proposal_source
      FROM ops_mission_steps s
      JOIN ops_missions m ON s.mission_id = m.id
      LEFT JOIN ops_mission_proposals p ON m.proposal_id = p.id
      WHERE s.status = 'failed'
      AND s.updated_at > now() - interval '24 hours'
      ORDER BY s.updated_at DESC
      LIMIT 50`,
  },
  {
    heading: 'Policy Compliance',
    sql: `SELECT
        'proposal_caps' as policy_type,
        (value->>'daily_limit')::int as daily_limit,
        (SELECT count(*) FROM ops_mission_proposals WHERE created_at > now() - interval '1 day') as current_usage
      FROM ops_policy WHERE key = 'proposal_caps'
      UNION ALL
      SELECT
        'auto_approve' as policy_type,
        CASE WHEN (value->>'enabled')::boolean THEN 1 ELSE 0 END as enabled,
        (SELECT count(*) FROM ops_mission_proposals WHERE status = 'auto_approved' AND created_at > now() - interval '1 day') as auto_approved_count
      FROM ops_policy WHERE key = 'auto_approve'`,
  },
  {
    heading: 'Check database connectivity',
    sql: `SELECT now()`,
  },
  {
    heading: 'Recover specific table',
    sql: `CREATE TABLE ops_mission_steps_backup AS
      SELECT * FROM [recovery_db].ops_mission_steps`,
  },
  {
    heading: 'Recover specific table',
    sql: `TRUNCATE ops_mission_steps`,
  },
  {
    heading: 'Recover specific table',
    sql: `INSERT INTO ops_mission_steps SELECT * FROM ops_mission_steps_backup`,
  },
  {
    heading: 'Verify data integrity',
    sql: `SELECT
        (SELECT count(*) FROM ops_agent_events) as events,
        (SELECT count(*) FROM ops_mission_proposals) as proposals,
        (SELECT count(*) FROM ops_missions) as missions,
        (SELECT count(*) FROM ops_mission_steps) as steps`,
  },
  {
    heading: 'Option 1: Reverse Migration Script',
    sql: `ALTER TABLE ops_mission_steps DROP COLUMN new_field`,
  },
  {
    heading: 'If policy change causes issues',
    sql: `SELECT
        key,
        version,
        updated_at,
        jsonb_pretty(value) as policy
      FROM ops_policy_history
      WHERE key = 'reaction_matrix'
      ORDER BY updated_at DESC
      LIMIT 10`,
  },
  {
    heading: 'If policy change causes issues',
    sql: `UPDATE ops_policy
      SET value = '[backup_policy_json]'::jsonb
      WHERE key = 'reaction_matrix'`,
  },
  {
    heading: 'Weekly VACUUM ANALYZE',
    sql: `VACUUM ANALYZE ops_agent_events`,
  },
  {
    heading: 'Weekly VACUUM ANALYZE',
    sql: `VACUUM ANALYZE ops_agent_reactions`,
  },
  {
    heading: 'Weekly VACUUM ANALYZE',
    sql: `VACUUM ANALYZE ops_mission_proposals`,
  },
  {
    heading: 'Weekly VACUUM ANALYZE',
    sql: `VACUUM ANALYZE ops_missions`,
  },
  {
    heading: 'Weekly VACUUM ANALYZE',
    sql: `VACUUM ANALYZE ops_mission_steps`,
  },
  {
    heading: 'Check table bloat',
    sql: `SELECT
        schemaname,
        tablename,
        pg_size_pretty(pg_total_relation_size(schemaname||'.'||tablename)) as total_size,
        pg_size_pretty(pg_relation_size(schemaname||'.'||tablename)) as table_size
      FROM pg_tables
      WHERE schemaname = 'public'
      AND tablename LIKE 'ops_%'
      ORDER BY pg_total_relation_size(schemaname||'.'||tablename) DESC`,
  },
  {
    heading: 'Archive old completed missions',
    sql: `CREATE TABLE ops_mission_steps_archive (
        LIKE ops_mission_steps INCLUDING ALL
      )`,
  },
  {
    heading: 'Archive old completed missions',
    sql: `INSERT INTO ops_mission_steps_archive
      SELECT * FROM ops_mission_steps
      WHERE status IN ('succeeded', 'failed')
      AND updated_at < now() - interval '90 days'`,
  },
  {
    heading: 'Archive old completed missions',
    sql: `DELETE FROM ops_mission_steps
      WHERE status IN ('succeeded', 'failed')
      AND updated_at < now() - interval '90 days'`,
  },
  {
    heading: 'Check proposal caps',
    sql: `SELECT jsonb_pretty(value) FROM ops_policy WHERE key = 'proposal_caps'`,
  },
  {
    heading: 'Review auto-approve rules',
    sql: `SELECT jsonb_pretty(value) FROM ops_policy WHERE key = 'auto_approve'`,
  },
  {
    heading: 'Analyze reaction matrix effectiveness',
    sql: `SELECT
        jsonb_array_elements(value->'patterns')->>'name' as pattern_name,
        count(r.id) as reactions_created
      FROM ops_policy p
      CROSS JOIN ops_agent_reactions r
      WHERE p.key = 'reaction_matrix'
      AND r.created_at > now() - interval '30 days'
      GROUP BY 1
      ORDER BY 2 DESC`,
  },
  {
    heading: 'Update agent models',
    sql: `SELECT jsonb_pretty(value) FROM ops_policy WHERE key = 'agent_roles'`,
  },
  {
    heading: 'Enable Row Level Security (RLS) in Supabase',
    sql: `ALTER TABLE ops_policy ENABLE ROW LEVEL SECURITY`,
  },
  {
    heading: 'Enable Row Level Security (RLS) in Supabase',
    sql: `ALTER TABLE ops_mission_proposals ENABLE ROW LEVEL SECURITY`,
  },
  {
    heading: 'Enable Row Level Security (RLS) in Supabase',
    sql: `CREATE POLICY "Service role only"
      ON ops_policy
      FOR ALL
      TO service_role
      USING (true)`,
  },
  {
    heading: 'Enable Row Level Security (RLS) in Supabase',
    sql: `CREATE POLICY "No direct API access"
      ON ops_policy
      FOR ALL
      TO anon
      USING (false)`,
  },
  {
    heading: 'Track all changes to policies',
    sql: `CREATE TABLE ops_policy_audit (
        id uuid primary key default gen_random_uuid(),
        policy_key text not null,
        old_value jsonb,
        new_value jsonb,
        changed_by text,
        changed_at timestamptz not null default now()
      )`,
  },
  {
    heading: 'Track all changes to policies',
    sql: `CREATE OR REPLACE FUNCTION ops_audit_policy_update()
      RETURNS TRIGGER AS $$
      BEGIN
        INSERT INTO ops_policy_audit (policy_key, old_value, new_value, changed_by)
        VALUES (OLD.key, OLD.value, NEW.value, current_user);
        RETURN NEW;
      END;
      $$ LANGUAGE plpgsql`,
  },
  {
    heading: 'Track all changes to policies',
    sql: `CREATE TRIGGER ops_policy_audit_trigger
      AFTER UPDATE ON ops_policy
      FOR EACH ROW
      EXECUTE FUNCTION ops_audit_policy_update()`,
  },
  {
    heading: 'Query audit log',
    sql: `SELECT
        policy_key,
        jsonb_pretty(old_value) as before,
        jsonb_pretty(new_value) as after,
        changed_by,
        changed_at
      FROM ops_policy_audit
      ORDER BY changed_at DESC
      LIMIT 20`,
  },
]

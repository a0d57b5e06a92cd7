import { z } from 'zod'
import { long, plainRow, plainRows, row, rows, value, values } from './signature.js'
import * as events from './types/events.js'
import * as installation from './types/installation.js'
import { count, id } from './types/json.js'
import * as operations from './types/operations.js'
import * as policies from './types/policies.js'
import * as proposals from './types/proposals.js'
import * as radar from './types/radar.js'
import * as records from './types/records.js'
import * as schedules from './types/schedules.js'
import * as services from './types/services.js'
import * as steps from './types/steps.js'
import * as watch from './types/watch.js'

/** The arguments of every list. */
const page = { p_filter: 'jsonb?', p_limit: 'int?', p_after: 'uuid?' } as const

/**
 * Every SQL function that the engine calls: the one place that knows their names and types. The compiler compares it with what
 * the database says of itself (`database.types.ts`).
 */
export const sqlFunctions = {
  emitEvents: plainRows('ops_emit_events', { p_events: 'jsonb' }, events.emittedEvent),
  pendingEvents: plainRows('ops_pending_events', { p_limit: 'int', p_after: 'uuid?' }, events.pendingEvent),
  settleEvents: plainRows(
    'ops_settle_events',
    { p_policy_version: 'int', p_events: 'jsonb', p_matches: 'jsonb?', p_after: 'uuid?' },
    events.settledEvent,
  ),
  runReactions: plainRows('ops_run_reactions', { p_limit: 'int' }, events.reactionOutcome),

  dueSchedules: rows('ops_due_schedules', { p_limit: 'int?' }, schedules.dueSchedule),
  settleSchedules: rows('ops_settle_schedules', { p_items: 'jsonb' }, schedules.settledSchedule),

  createProposal: plainRow(
    'ops_create_proposal_and_maybe_autoapprove',
    { p_dedupe_key: 'text', p_source: 'text', p_template: 'jsonb' },
    proposals.proposalOutcome,
  ),
  createProposals: plainRows(
    'ops_create_proposals',
    { p_proposals: 'jsonb' },
    proposals.proposalBatchOutcome,
  ),
  gateTemplate: row('ops_gate_proposal', { p_template: 'jsonb' }, proposals.gateVerdict),
  gateProposal: row('ops_gate_proposal', { p_proposal_id: 'uuid' }, proposals.gateVerdict),
  approveProposal: row(
    'ops_approve_proposal',
    { p_proposal_id: 'uuid', p_actor: 'text', p_digest: 'text?', p_note: 'text?' },
    proposals.proposalOutcome,
  ),
  rejectProposal: row(
    'ops_reject_proposal',
    { p_proposal_id: 'uuid', p_actor: 'text', p_note: 'text?' },
    proposals.proposalOutcome,
  ),
  expireProposals: value('ops_expire_proposals', { p_limit: 'int?' }, count),
  capUsage: long(rows('ops_cap_usage', {}, proposals.capUsage)),

  registerWorker: value(
    'ops_register_worker',
    {
      p_name: 'text',
      p_version: 'text',
      p_executors: 'text[]',
      p_concurrency: 'int',
      p_schema_version: 'int',
      p_settings: 'jsonb?',
    },
    steps.workerSettings,
  ),
  workerHeartbeat: value(
    'ops_worker_heartbeat',
    {
      p_worker_id: 'uuid',
      p_listening: 'boolean?',
      p_health: 'jsonb?',
      p_takes: 'text[]?',
      p_channel: 'text?',
      p_lease_seconds: 'int?',
    },
    steps.workerSettings,
  ),
  claimSteps: plainRows(
    'ops_claim_steps',
    {
      p_worker_id: 'uuid',
      p_executors: 'text[]',
      p_limit: 'int',
      p_lease_seconds: 'int?',
      p_room: 'jsonb?',
      p_past: 'jsonb?',
      p_handed: 'boolean?',
    },
    steps.claimedStep,
  ),
  handedSteps: plainRows('ops_handed_steps', { p_worker_id: 'uuid' }, steps.claimedStep),
  renewSteps: plainRows('ops_renew_steps', { p_leases: 'jsonb', p_lease_seconds: 'int?' }, steps.renewedStep),
  completeSteps: plainRows('ops_complete_steps', { p_results: 'jsonb' }, steps.completedStep),
  failSteps: plainRows('ops_fail_steps', { p_failures: 'jsonb' }, steps.failedStep),
  snoozeSteps: plainRows('ops_snooze_steps', { p_snoozes: 'jsonb' }, steps.snoozedStep),
  releaseSteps: plainRows('ops_release_steps', { p_leases: 'jsonb' }, steps.releasedStep),
  recoverExpiredLeases: row('ops_recover_expired_leases', { p_limit: 'int?' }, steps.leaseRecovery),
  recoverStaleSteps: row(
    'ops_recover_stale_steps',
    { p_threshold_minutes: 'int?', p_limit: 'int?' },
    steps.staleRecovery,
  ),

  cancelMission: row(
    'ops_cancel_mission',
    { p_mission_id: 'uuid', p_actor: 'text', p_reason: 'text?' },
    operations.cancelledMission,
  ),
  cancelStep: row(
    'ops_cancel_step',
    { p_step_id: 'uuid', p_actor: 'text', p_reason: 'text?' },
    operations.cancelledStep,
  ),
  retryStep: row('ops_retry_step', { p_step_id: 'uuid', p_actor: 'text' }, operations.retriedStep),
  retryDeadSteps: rows(
    'ops_retry_dead_steps',
    { p_kind: 'text?', p_limit: 'int?', p_actor: 'text?' },
    operations.retriedDeadStep,
  ),
  trace: long(rows('ops_trace', { p_id: 'uuid' }, operations.traceEntry)),
  why: long(rows('ops_why', { p_event_id: 'uuid' }, operations.patternDecision)),
  countRequests: row('ops_count_requests', { p_caller: 'text', p_requests: 'int' }, operations.requestCount),
  housekeeping: row(
    'ops_housekeeping',
    { p_limit: 'int?', p_every_minutes: 'int?' },
    operations.housekeeping,
  ),
  rollUpMetrics: value('ops_roll_up_metrics', {}, z.boolean()),
  metrics: value('ops_metrics', {}, operations.metrics),
  recordHeartbeat: value('ops_record_heartbeat', { p_ok: 'boolean', p_report: 'jsonb' }, id),
  health: value('ops_health', {}, operations.health),
  overview: value('ops_overview', {}, installation.overview),
  doctor: value('ops_doctor', {}, installation.installation),
  watchState: value('ops_watch_state', {}, installation.watchState),
  policies: plainRows('ops_read_policies', { p_keys: 'text[]?', p_known: 'jsonb?' }, policies.policyRow),
  rollbackPolicy: value('ops_policy_rollback', { p_key: 'text', p_version: 'int', p_actor: 'text?' }, count),
  applyPolicies: rows(
    'ops_apply_policies',
    { p_policies: 'jsonb', p_actor: 'text?' },
    policies.appliedPolicy,
  ),
  policyChanges: rows('ops_policy_changes', { p_key: 'text?', p_limit: 'int?' }, policies.policyChange),
  policiesAt: rows('ops_policies_at', { p_at: 'timestamptz' }, policies.policyRow),
  recording: value(
    'ops_recording',
    { p_from: 'timestamptz', p_to: 'timestamptz', p_most: 'int?' },
    policies.recordedLines,
  ),
  hold: row('ops_hold', {}, operations.hold),
  releaseHold: row('ops_release_hold', { p_actor: 'text' }, operations.releasedHold),
  timeline: long(rows('ops_timeline', { p_since: 'timestamptz', p_limit: 'int?' }, operations.timelineEntry)),
  listEvents: values('ops_list_events', page, records.eventRecord),
  listProposals: values('ops_list_proposals', page, records.proposalRecord),
  listMissions: values('ops_list_missions', page, records.missionRecord),
  listSteps: values('ops_list_steps', page, records.stepRecord),
  archive: row('ops_archive', { p_older_than: 'interval', p_limit: 'int?' }, operations.archived),

  takeServiceChecks: rows('ops_take_service_checks', { p_limit: 'int?' }, services.serviceCheck),
  recordServiceCheck: value(
    'ops_record_service_check',
    { p_name: 'text', p_ok: 'boolean', p_http_status: 'int?', p_latency_ms: 'int?', p_error: 'text?' },
    services.breakerState,
  ),
  listServices: long(values('ops_list_services', {}, services.serviceRecord)),

  radarAdd: row('ops_radar_add', { p_item: 'jsonb', p_step_id: 'uuid?' }, radar.addedRadarItem),
  radarUpdate: row('ops_radar_update', { p_id: 'uuid', p_changes: 'jsonb' }, radar.updatedRadarItem),
  radarList: values('ops_radar_list', { p_stage: 'text?', p_limit: 'int?' }, radar.radarRecord),

  sendCanary: value('ops_send_canary', {}, z.boolean()),
  beginChecks: value('ops_begin_checks', {}, watch.checkRound),
  report: value('ops_report', { p_name: 'text', p_value: 'numeric', p_details: 'jsonb?' }, z.unknown()),
  runChecks: rows('ops_run_checks', { p_names: 'text[]?', p_everything: 'boolean?' }, watch.checkOutcome),
  listChecks: values('ops_list_checks', {}, watch.checkRecord),
  listViolations: values('ops_list_violations', page, watch.violationRecord),
  evaluateAlerts: value('ops_evaluate_alerts', { p_reports: 'jsonb?' }, count.nullable()),
  claimNotices: rows('ops_claim_notices', { p_limit: 'int?', p_lease_seconds: 'int?' }, watch.claimedNotice),
  watchHeartbeat: value('ops_watch_heartbeat', {}, watch.silentHeartbeat),
  claimSilenceNotices: rows(
    'ops_claim_silence_notices',
    { p_channels: 'text[]', p_lease_seconds: 'int?' },
    watch.claimedNotice,
  ),
  recordNotice: value(
    'ops_record_notice',
    {
      p_id: 'uuid',
      p_token: 'uuid',
      p_outcome: 'text',
      p_detail: 'jsonb?',
      p_error: 'text?',
      p_after_seconds: 'int?',
    },
    z.enum(['ok', 'lost']),
  ),
  listAlerts: values('ops_list_alerts', page, watch.alertRecord),
  acknowledgeAlert: value(
    'ops_acknowledge_alert',
    { p_alert_id: 'uuid', p_actor: 'text', p_note: 'text?' },
    watch.alertRecord,
  ),
  silenceAlerts: row(
    'ops_silence_alerts',
    { p_rule: 'text', p_minutes: 'int', p_reason: 'text', p_actor: 'text', p_subject: 'text?' },
    watch.silence,
  ),
}

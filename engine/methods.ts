import { fromDatabaseError, OpsError, ofSingle } from './errors.js'
import { sqlFunctions as sql } from './functions.js'
import { settlement } from './settlement.js'
import type { ArgsOf, SqlFunction } from './signature.js'
import type { CallOptions, Signature, Transport } from './transport.js'
import type { Engine } from './types/engine.js'

/** The engine's methods on top of any transport. */
export function createEngine(transport: Transport): Engine {
  let closed = false

  async function call<A extends Signature['args'], R>(
    fn: SqlFunction<A, R>,
    args: ArgsOf<A>,
    options?: CallOptions,
  ): Promise<R> {
    if (closed)
      throw new OpsError('OPS_001', 'This connection to the database was closed by the program itself.')
    let answer: readonly unknown[]
    try {
      answer = await transport.rpc(fn, args, options)
    } catch (error) {
      throw fromDatabaseError(error, transport.name)
    }
    return fn.decode(answer)
  }

  const emitEvents: Engine['emitEvents'] = (events) => call(sql.emitEvents, { p_events: events })
  const { listen } = transport

  return {
    transport: transport.name,

    emitEvents,
    emitEvent: async (event) => {
      const [emitted] = await emitEvents([event]).catch((error) => {
        throw ofSingle(error, 'events')
      })
      if (emitted === undefined) throw new OpsError('OPS_001', 'ops_emit_events gave no answer.')
      return emitted
    },
    pendingEvents: (limit, after) => call(sql.pendingEvents, { p_limit: limit, p_after: after }),
    settleEvents: async (policyVersion, items, after) =>
      items.length === 0
        ? []
        : call(sql.settleEvents, { p_policy_version: policyVersion, ...settlement(items), p_after: after }),
    runReactions: (limit) => call(sql.runReactions, { p_limit: limit }),

    dueSchedules: (limit) => call(sql.dueSchedules, { p_limit: limit }),
    settleSchedules: async (items) =>
      items.length === 0 ? [] : call(sql.settleSchedules, { p_items: items }),

    createProposal: ({ dedupe_key, source, template }) =>
      call(sql.createProposal, { p_dedupe_key: dedupe_key ?? null, p_source: source, p_template: template }),
    createProposals: async (items) =>
      items.length === 0 ? [] : call(sql.createProposals, { p_proposals: items }),
    gateProposal: (templateOrId) =>
      typeof templateOrId === 'string'
        ? call(sql.gateProposal, { p_proposal_id: templateOrId })
        : call(sql.gateTemplate, { p_template: templateOrId }),
    approveProposal: (proposalId, { actor, digest, note }) =>
      call(sql.approveProposal, {
        p_proposal_id: proposalId,
        p_actor: actor,
        p_digest: digest,
        p_note: note,
      }),
    rejectProposal: (proposalId, { actor, note }) =>
      call(sql.rejectProposal, { p_proposal_id: proposalId, p_actor: actor, p_note: note }),
    expireProposals: (limit) => call(sql.expireProposals, { p_limit: limit }),
    capUsage: () => call(sql.capUsage, {}),

    registerWorker: ({ name, version, executors, concurrency, schema_version, settings }) =>
      call(sql.registerWorker, {
        p_name: name,
        p_version: version,
        p_executors: executors,
        p_concurrency: concurrency,
        p_schema_version: schema_version,
        p_settings: settings,
      }),
    workerHeartbeat: (workerId, listening, health, takes) =>
      call(sql.workerHeartbeat, {
        p_worker_id: workerId,
        p_listening: listening,
        p_health: health,
        p_takes: takes?.executors,
        p_channel: takes?.channel,
        p_lease_seconds: takes?.lease_seconds,
      }),
    claimSteps: ({ worker_id, executors, limit, lease_seconds, room, past }) =>
      call(sql.claimSteps, {
        p_worker_id: worker_id,
        p_executors: executors,
        p_limit: limit,
        p_lease_seconds: lease_seconds,
        p_room: room,
        p_past: past,
      }),
    handedSteps: (workerId) => call(sql.handedSteps, { p_worker_id: workerId }),
    renewSteps: async (leases, leaseSeconds) =>
      leases.length === 0 ? [] : call(sql.renewSteps, { p_leases: leases, p_lease_seconds: leaseSeconds }),
    completeSteps: async (results) =>
      results.length === 0 ? [] : call(sql.completeSteps, { p_results: results }),
    failSteps: async (failures) =>
      failures.length === 0 ? [] : call(sql.failSteps, { p_failures: failures }),
    snoozeSteps: async (snoozes) =>
      snoozes.length === 0 ? [] : call(sql.snoozeSteps, { p_snoozes: snoozes }),
    releaseSteps: async (leases) => (leases.length === 0 ? [] : call(sql.releaseSteps, { p_leases: leases })),
    recoverExpiredLeases: (limit) => call(sql.recoverExpiredLeases, { p_limit: limit }),
    recoverStaleSteps: (thresholdMinutes, limit) =>
      call(sql.recoverStaleSteps, { p_threshold_minutes: thresholdMinutes, p_limit: limit }),

    cancelMission: (missionId, { actor, reason }) =>
      call(sql.cancelMission, { p_mission_id: missionId, p_actor: actor, p_reason: reason }),
    cancelStep: (stepId, { actor, reason }) =>
      call(sql.cancelStep, { p_step_id: stepId, p_actor: actor, p_reason: reason }),
    retryStep: (stepId, { actor }) => call(sql.retryStep, { p_step_id: stepId, p_actor: actor }),
    retryDeadSteps: ({ kind, limit, actor } = {}) =>
      call(sql.retryDeadSteps, { p_kind: kind, p_limit: limit, p_actor: actor }),
    trace: (id) => call(sql.trace, { p_id: id }),
    why: (eventId) => call(sql.why, { p_event_id: eventId }),
    countRequests: (caller, requests) => call(sql.countRequests, { p_caller: caller, p_requests: requests }),
    housekeeping: (limit, everyMinutes) =>
      call(sql.housekeeping, { p_limit: limit, p_every_minutes: everyMinutes }),
    rollUpMetrics: () => call(sql.rollUpMetrics, {}),
    metrics: () => call(sql.metrics, {}),
    recordHeartbeat: (ok, report) => call(sql.recordHeartbeat, { p_ok: ok, p_report: report }),
    health: () => call(sql.health, {}),
    hold: () => call(sql.hold, {}),
    releaseHold: ({ actor }) => call(sql.releaseHold, { p_actor: actor }),
    overview: () => call(sql.overview, {}),
    doctor: () => call(sql.doctor, {}),
    watchState: () => call(sql.watchState, {}),
    policies: async (keys, known = []) => {
      const read = known.map(({ key, version, updated_at }) => ({ key, version, updated_at }))
      const rows = await call(sql.policies, { p_keys: keys, p_known: read.length > 0 ? read : undefined })
      return rows.map((row) => (row.value === null && known.find(({ key }) => key === row.key)) || row)
    },
    rollbackPolicy: (key, version, actor) =>
      call(sql.rollbackPolicy, { p_key: key, p_version: version, p_actor: actor }),
    applyPolicies: async (policies, actor) =>
      policies.length === 0 ? [] : call(sql.applyPolicies, { p_policies: policies, p_actor: actor }),
    policyChanges: (key, limit) => call(sql.policyChanges, { p_key: key, p_limit: limit }),
    policiesAt: (at) => call(sql.policiesAt, { p_at: at }),
    recording: (from, to, most) => call(sql.recording, { p_from: from, p_to: to, p_most: most }),
    timeline: (since, limit) => call(sql.timeline, { p_since: since, p_limit: limit }),
    listEvents: (filter, limit, after) =>
      call(sql.listEvents, { p_filter: filter, p_limit: limit, p_after: after }),
    listProposals: (filter, limit, after) =>
      call(sql.listProposals, { p_filter: filter, p_limit: limit, p_after: after }),
    listMissions: (filter, limit, after) =>
      call(sql.listMissions, { p_filter: filter, p_limit: limit, p_after: after }),
    listSteps: (filter, limit, after) =>
      call(sql.listSteps, { p_filter: filter, p_limit: limit, p_after: after }),
    archive: (olderThan, limit) => call(sql.archive, { p_older_than: olderThan, p_limit: limit }),

    takeServiceChecks: (limit) => call(sql.takeServiceChecks, { p_limit: limit }),
    recordServiceCheck: ({ name, ok, http_status, latency_ms, error }) =>
      call(sql.recordServiceCheck, {
        p_name: name,
        p_ok: ok,
        p_http_status: http_status,
        p_latency_ms: latency_ms,
        p_error: error,
      }),
    listServices: () => call(sql.listServices, {}),

    radarAdd: (item, stepId) => call(sql.radarAdd, { p_item: item, p_step_id: stepId }),
    radarUpdate: (id, changes) => call(sql.radarUpdate, { p_id: id, p_changes: changes }),
    radarList: (stage, limit) => call(sql.radarList, { p_stage: stage, p_limit: limit }),

    sendCanary: () => call(sql.sendCanary, {}),
    beginChecks: () => call(sql.beginChecks, {}),
    report: async (name, value, details) => {
      await call(sql.report, { p_name: name, p_value: value, p_details: details })
    },
    runChecks: (names, { everything, timeoutMs } = {}) =>
      call(sql.runChecks, { p_names: names, p_everything: everything }, { timeoutMs }),
    listChecks: () => call(sql.listChecks, {}),
    listViolations: (filter, limit, after) =>
      call(sql.listViolations, { p_filter: filter, p_limit: limit, p_after: after }),

    evaluateAlerts: (reports) => call(sql.evaluateAlerts, { p_reports: reports }),
    claimNotices: (limit, leaseSeconds) =>
      call(sql.claimNotices, { p_limit: limit, p_lease_seconds: leaseSeconds }),
    watchHeartbeat: () => call(sql.watchHeartbeat, {}),
    claimSilenceNotices: (channels, leaseSeconds) =>
      call(sql.claimSilenceNotices, { p_channels: channels, p_lease_seconds: leaseSeconds }),
    recordNotice: ({ id, token, outcome, detail, error, after_seconds }) =>
      call(sql.recordNotice, {
        p_id: id,
        p_token: token,
        p_outcome: outcome,
        p_detail: detail,
        p_error: error,
        p_after_seconds: after_seconds,
      }),
    listAlerts: (filter, limit, after) =>
      call(sql.listAlerts, { p_filter: filter, p_limit: limit, p_after: after }),
    acknowledgeAlert: (alertId, { actor, note }) =>
      call(sql.acknowledgeAlert, { p_alert_id: alertId, p_actor: actor, p_note: note }),
    silenceAlerts: ({ rule, minutes, reason, actor, subject }) =>
      call(sql.silenceAlerts, {
        p_rule: rule,
        p_minutes: minutes,
        p_reason: reason,
        p_actor: actor,
        p_subject: subject,
      }),

    ...(listen && {
      listen: async (channels, onNotify, onGap) => {
        try {
          return await listen(channels, onNotify, onGap)
        } catch (error) {
          throw fromDatabaseError(error, transport.name)
        }
      },
    }),
    async close() {
      closed = true
      await transport.close()
    },
  }
}

import type {
  EmittedEvent,
  EventInput,
  PendingEvent,
  ReactionOutcome,
  SettledEvent,
  SettleItem,
} from './events.js'
import type { Installation, Overview, WatchState } from './installation.js'
import type { JsonObject, Timestamp } from './json.js'
import type {
  Archived,
  Cancellation,
  CancelledMission,
  CancelledStep,
  Health,
  Hold,
  Housekeeping,
  Metrics,
  PatternDecision,
  ReleasedHold,
  RequestCount,
  RetriedDeadStep,
  RetriedStep,
  RetryRequest,
  TimelineEntry,
  TraceEntry,
} from './operations.js'
import type { AppliedPolicy, PolicyChange, PolicyInput, PolicyRow } from './policies.js'
import type {
  Approval,
  CapUsage,
  GateVerdict,
  ProposalBatchItem,
  ProposalBatchOutcome,
  ProposalInput,
  ProposalOutcome,
  Rejection,
  TemplateInput,
} from './proposals.js'
import type {
  AddedRadarItem,
  RadarChanges,
  RadarItem,
  RadarRecord,
  RadarStage,
  UpdatedRadarItem,
} from './radar.js'
import type {
  EventFilter,
  EventRecord,
  MissionFilter,
  MissionRecord,
  ProposalFilter,
  ProposalRecord,
  StepFilter,
  StepRecord,
} from './records.js'
import type { DueSchedule, ScheduleSettlement, SettledSchedule } from './schedules.js'
import type { BreakerState, ServiceCheck, ServiceCheckResult, ServiceRecord } from './services.js'
import type {
  ClaimedStep,
  ClaimRequest,
  CompletedStep,
  FailedStep,
  HandedSteps,
  Lease,
  LeaseRecovery,
  ReleasedStep,
  RenewedStep,
  SnoozedStep,
  StaleRecovery,
  StepFailure,
  StepResult,
  StepSnooze,
  WorkerHealth,
  WorkerRegistration,
  WorkerSettings,
} from './steps.js'
import type {
  AlertFilter,
  AlertRecord,
  CheckOutcome,
  CheckRecord,
  CheckRound,
  CheckRun,
  ClaimedNotice,
  NoticeOutcome,
  Silence,
  SilenceRecord,
  SilentHeartbeat,
  ViolationFilter,
  ViolationRecord,
} from './watch.js'

/**
 * The typed doorway to the database: one method per SQL function, the same over both transports.
 *
 * Every method rejects with an `OpsError` and nothing else. `OPS_001` (the database cannot be reached, or refuses the
 * credentials) and `OPS_012` (the role may not call this function) can come from each of them and are not repeated below.
 * An empty batch answers `[]` without a call.
 */
export interface Engine {
  readonly transport: 'postgres' | 'supabase'

  // --- from event to proposal -----------------------------------------------------------------------------------

  /** Stores 1 to 1000 events, all or none. Errors: `OPS_011` (names the field), `OPS_015` while intake is paused. */
  emitEvents(events: readonly EventInput[]): Promise<EmittedEvent[]>

  /** Stores one event. Errors as above; the field is named without a position. */
  emitEvent(event: EventInput): Promise<EmittedEvent>

  /**
   * Unprocessed events, oldest first, at most `limit` (1 to 1000); none while reactions are paused. With `after`, the id of an event, those
   * that come after it.
   */
  pendingEvents(limit: number, after?: string): Promise<PendingEvent[]>

  /**
   * Commits what the matcher decided under the given version of `reaction_matrix`, and marks the events processed. With `after`, the id
   * of an event, only once that is settled; until then the outcome of all is `early`.
   */
  settleEvents(policyVersion: number, items: readonly SettleItem[], after?: string): Promise<SettledEvent[]>

  /** Takes up to `limit` queued reactions through the gate. */
  runReactions(limit: number): Promise<ReactionOutcome[]>

  // --- schedules ------------------------------------------------------------------------------------------------

  /** Schedules to be settled now, at most `limit` (default 100, most 1000); none while intake is paused. */
  dueSchedules(limit?: number): Promise<DueSchedule[]>

  /** Makes events of their slots, each exactly once however many callers try. Errors: `OPS_011`. */
  settleSchedules(items: readonly ScheduleSettlement[]): Promise<SettledSchedule[]>

  // --- proposals and the gate -----------------------------------------------------------------------------------

  /** Errors: `OPS_004` (invalid template, `details.path`), `OPS_011`. A capped proposal is a value: `rejected` with a code. */
  createProposal(proposal: ProposalInput): Promise<ProposalOutcome>

  /** Up to 1000 proposals, each by itself: one that is refused stops none of the others. */
  createProposals(items: readonly ProposalBatchItem[]): Promise<ProposalBatchOutcome[]>

  /** What the gate would say about a template, or about the proposal with this id. Changes nothing. */
  gateProposal(templateOrId: TemplateInput | string): Promise<GateVerdict>

  /**
   * Starts the mission of a pending proposal. A cap without room leaves it pending and answers with that cap's code.
   * Errors: `OPS_009` (not pending, expired, wrong digest, own proposal), `OPS_013`, `OPS_015` while approvals are paused.
   */
  approveProposal(proposalId: string, approval: Approval): Promise<ProposalOutcome>

  /** Errors: `OPS_009` (not pending), `OPS_013`. */
  rejectProposal(proposalId: string, rejection: Rejection): Promise<ProposalOutcome>

  /** Ends up to `limit` (default 500) pending proposals whose time is over; answers how many. */
  expireProposals(limit?: number): Promise<number>

  /** What the caps counted today, and their limits; also limits that nothing has used yet. */
  capUsage(): Promise<CapUsage[]>

  // --- workers and steps ----------------------------------------------------------------------------------------

  /** Errors: `OPS_011` when the database is newer than this worker. */
  registerWorker(registration: WorkerRegistration): Promise<WorkerSettings>

  /**
   * `listening`: this worker now sleeps until it is notified; `health`: how it is; `takes`: of what it may be handed one step while it
   * sleeps. Errors: `OPS_011` for a lease out of range, `OPS_013` for an unknown worker.
   */
  workerHeartbeat(
    workerId: string,
    listening?: boolean,
    health?: WorkerHealth,
    takes?: HandedSteps,
  ): Promise<WorkerSettings>

  /** Leases up to `limit` due steps; each claim is an attempt. Claims nothing while claims are paused. */
  claimSteps(request: ClaimRequest): Promise<ClaimedStep[]>

  /**
   * Steps that were handed to this worker while it slept, for when the notification was lost or has no room for the step (see
   * `readHandedStep`); those whose leases it has prolonged are not among them.
   */
  handedSteps(workerId: string): Promise<ClaimedStep[]>

  /** Moves the deadlines to `leaseSeconds` (default: the policy's) from now. */
  renewSteps(leases: readonly Lease[], leaseSeconds?: number): Promise<RenewedStep[]>

  completeSteps(results: readonly StepResult[]): Promise<CompletedStep[]>

  failSteps(failures: readonly StepFailure[]): Promise<FailedStep[]>

  snoozeSteps(snoozes: readonly StepSnooze[]): Promise<SnoozedStep[]>

  /** Gives leases back; costs neither an attempt nor a failure. */
  releaseSteps(leases: readonly Lease[]): Promise<ReleasedStep[]>

  /** Requeues or dead-letters up to `limit` (default 500) steps whose lease is over. */
  recoverExpiredLeases(limit?: number): Promise<LeaseRecovery>

  /**
   * Fails up to `limit` (default 500) steps that are renewed but older than their timeout or, where they have none, than the
   * threshold (default: policy, then 15 minutes).
   */
  recoverStaleSteps(thresholdMinutes?: number, limit?: number): Promise<StaleRecovery>

  // --- operators ------------------------------------------------------------------------------------------------

  /** Cancels what has not started and tells what runs to stop; doing it again changes nothing. Errors: `OPS_013`. */
  cancelMission(missionId: string, cancellation: Cancellation): Promise<CancelledMission>

  /** Cancels a step and all that depend on it. Errors: `OPS_013`. */
  cancelStep(stepId: string, cancellation: Cancellation): Promise<CancelledStep>

  /** Reopens a dead step, its mission, and the steps cancelled with it. Errors: `OPS_013`, `OPS_014` (not dead, or newer work holds its dedupe key). */
  retryStep(stepId: string, by: { actor: string }): Promise<RetriedStep>

  retryDeadSteps(request?: RetryRequest): Promise<RetriedDeadStep[]>

  /** The whole chain around any event, reaction, proposal, mission, step or run. Errors: `OPS_013`. */
  trace(id: string): Promise<TraceEntry[]>

  /** What each pattern decided about an event. Errors: `OPS_013`. */
  why(eventId: string): Promise<PatternDecision[]>

  /** Adds to what a caller of the control plane requested in this minute; answers the sum of all its instances. */
  countRequests(caller: string, requests: number): Promise<RequestCount>

  /**
   * Archives and deletes what has had its time, as policy `retention` says, at most `limit` (default 1000) of each kind; call it
   * until it answers no more. Does nothing when it was done less than `everyMinutes` (default 60) ago.
   */
  housekeeping(limit?: number, everyMinutes?: number): Promise<Housekeeping>

  /** Adds one more window of finished attempts to the totals; call it until it answers false. */
  rollUpMetrics(): Promise<boolean>

  /** What `/metrics` tells. Costs the same however much is finished. */
  metrics(): Promise<Metrics>

  /** Logs `heartbeat:success` or `heartbeat:failure`; answers the event's id. */
  recordHeartbeat(ok: boolean, report: JsonObject): Promise<string>

  health(): Promise<Health>

  /** Queues by executor, and workers. */
  overview(): Promise<Overview>

  /** What `ops-loop doctor` judges: roles, rights, connections, heartbeat. */
  doctor(): Promise<Installation>

  /** What `ops-loop verify` and `status` ask beside it: canary, checks, alerts, services, channels, schedules, backup. */
  watchState(): Promise<WatchState>

  /** Whether this database is a restored copy whose work waits for an operator, and what is in flight in it. */
  hold(): Promise<Hold>

  /** Says that the work goes on in this database, and nowhere else. Errors: `OPS_011`. */
  releaseHold(by: { actor: string }): Promise<ReleasedHold>

  /**
   * All policies, or those with the given keys; a missing key has no row. Of rows in `known` that are still in force the value does not
   * travel again: they come back themselves.
   */
  policies(keys?: readonly string[], known?: readonly PolicyRow[]): Promise<PolicyRow[]>

  /** Makes an earlier version the current one; answers the new version number. Errors: `OPS_013` (no such version). */
  rollbackPolicy(key: string, version: number, actor?: string): Promise<number>

  /**
   * Puts policies in force, or deletes them, all or none, at most 100. `actor` is kept beside the login. Errors: `OPS_011` (policy and field),
   * `OPS_014` (another version than the expected one is in force by now).
   */
  applyPolicies(policies: readonly PolicyInput[], actor?: string): Promise<AppliedPolicy[]>

  /** Changes of one policy or of all, newest first, at most `limit` (default 50, up to 1000). */
  policyChanges(key?: string, limit?: number): Promise<PolicyChange[]>

  /** The policies that were in force at a moment; `updated_at` is when each had come into force. */
  policiesAt(at: Timestamp): Promise<PolicyRow[]>

  /**
   * What began from one moment until before another, with all that came of it, in the order of time; for a simulation. Null
   * when that is more than `most` (default 2000) events and proposals: ask for less time.
   */
  recording(from: Timestamp, to: Timestamp, most?: number): Promise<JsonObject[] | null>

  /**
   * What happened since a time, oldest first, at most `limit` (default 500). Transactions commit late: poll with an
   * overlap and skip what was seen by `(entity, id, status)`.
   */
  timeline(since: Timestamp, limit?: number): Promise<TimelineEntry[]>

  /** Newest first, at most `limit` (default 50, most 200); `after` is the id of the last row of the page before. Also below. */
  listEvents(filter?: EventFilter, limit?: number, after?: string): Promise<EventRecord[]>
  listProposals(filter?: ProposalFilter, limit?: number, after?: string): Promise<ProposalRecord[]>
  listMissions(filter?: MissionFilter, limit?: number, after?: string): Promise<MissionRecord[]>
  listSteps(filter?: StepFilter, limit?: number, after?: string): Promise<StepRecord[]>

  /** Takes the service checks that are due, at most `limit` (default 10, most 100): each is given to one caller. */
  takeServiceChecks(limit?: number): Promise<ServiceCheck[]>

  /** Records what a check said; answers the breaker's state. Errors: `OPS_013` (policy `services` lists no such service). */
  recordServiceCheck(result: ServiceCheckResult): Promise<BreakerState>

  /** The services that policy `services` lists, by name. */
  listServices(): Promise<ServiceRecord[]>

  /** With a step id it is idempotent: a second attempt at the step finds the item of the first. */
  radarAdd(item: RadarItem, stepId?: string): Promise<AddedRadarItem>

  /** Errors: `OPS_013`. */
  radarUpdate(id: string, changes: RadarChanges): Promise<UpdatedRadarItem>

  /** The last changed first, at most `limit` (default 50, most 200). */
  radarList(stage?: RadarStage, limit?: number): Promise<RadarRecord[]>

  /**
   * Moves up to `limit` (default 1000) chains that ended longer ago than an interval such as `'90 days'` (at least one hour)
   * to the archive. Call it until it answers no chains. Errors: `OPS_011`.
   */
  archive(olderThan: string, limit?: number): Promise<Archived>

  // --- the watch ------------------------------------------------------------------------------------------------

  /** Looks after the canaries under way and, once in each round, sends another; answers whether it did. */
  sendCanary(): Promise<boolean>

  /** Begins a round of checks when one is due, for one of all callers. */
  beginChecks(): Promise<CheckRound>

  /** Keeps a number that only the caller knows, under a name. Errors: `OPS_011`. */
  report(name: string, value: number, details?: JsonObject): Promise<void>

  /**
   * Runs the named checks (default: all of a round) until one is cut off, and keeps their violations. What is missing from the
   * answer was not judged: call again with those names.
   */
  runChecks(names?: readonly string[], run?: CheckRun): Promise<CheckOutcome[]>

  listChecks(): Promise<CheckRecord[]>

  listViolations(filter?: ViolationFilter, limit?: number, after?: string): Promise<ViolationRecord[]>

  /** Looks at every rule when it is time to, for one of all callers; answers how many alerts are open, or null. */
  evaluateAlerts(reports?: Readonly<Record<string, number>>): Promise<number | null>

  /** Takes up to `limit` (default 20) notices for delivery, under a lease (default 120 s). */
  claimNotices(limit?: number, leaseSeconds?: number): Promise<ClaimedNotice[]>

  /** Raises the alert about a silent heartbeat when it is one; for those who live on without it. */
  watchHeartbeat(): Promise<SilentHeartbeat>

  /** Takes the notices about a silent heartbeat that are due for these channels, under a lease (default 120 s). */
  claimSilenceNotices(channels: readonly string[], leaseSeconds?: number): Promise<ClaimedNotice[]>

  recordNotice(outcome: NoticeOutcome): Promise<'ok' | 'lost'>

  listAlerts(filter?: AlertFilter, limit?: number, after?: string): Promise<AlertRecord[]>

  /** Errors: `OPS_013`, `OPS_014` (it is over). */
  acknowledgeAlert(alertId: string, by: { actor: string; note?: string | undefined }): Promise<AlertRecord>

  /** Errors: `OPS_011` (no such rule, no reason, too long). */
  silenceAlerts(silence: Silence): Promise<SilenceRecord>

  // --- connection -----------------------------------------------------------------------------------------------

  /**
   * Only where the connection can wait for notifications (direct Postgres; not PostgREST, not a transaction pooler).
   * `onGap` is called after each reconnect, because what was sent meanwhile is lost.
   */
  listen?(channels: readonly string[], onNotify: OnNotify, onGap: () => void): Promise<Subscription>

  /** Finishes what is under way and closes all connections. May be called twice. */
  close(): Promise<void>
}

/** What came on which channel. */
export type OnNotify = (channel: string, payload: string) => void

export interface Subscription {
  stop(): Promise<void>
}

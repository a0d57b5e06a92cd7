/**
 * Everything that the SQL functions can do can be done over HTTP, and in one way: each public function is called by the example of
 * some route, by the heartbeat in certain cases, or is named here with the reason why it is not.
 */
import { expect, test } from 'vitest'
import { createEngine } from '../engine/methods.js'
import { postgresTransport } from '../engine/postgres.js'
import { urlFor } from '../test/support/database.js'
import { describedOperations, exampleSender } from './testing.examples.js'
import { appOver, testApi } from './testing.js'

const WORKER = 'the worker calls it under its own login: results come with lease tokens, not with a key'
const COMMAND_LINE =
  'reads for a command that runs beside the database; over HTTP: /health, /metrics and the lists'
const INSIDE = 'a name of the runbook; the engine calls it by itself at the right moment'

/** Functions that no example calls, and why. */
const elsewhere: Record<string, string> = {
  ops_register_worker: WORKER,
  ops_worker_heartbeat: WORKER,
  ops_claim_steps: WORKER,
  ops_claim_next_step: WORKER,
  ops_handed_steps: WORKER,
  ops_renew_steps: WORKER,
  ops_complete_steps: WORKER,
  ops_fail_steps: WORKER,
  ops_snooze_steps: WORKER,
  ops_release_steps: WORKER,
  ops_watch_heartbeat: WORKER,
  ops_claim_silence_notices: WORKER,

  ops_create_proposal_and_maybe_autoapprove:
    'the runbook’s name for one proposal; POST /proposals passes the same gate as a batch of one',
  ops_create_mission_from_proposal: INSIDE,
  ops_maybe_finalize_mission: INSIDE,
  ops_extract_step_kinds:
    'a name of the runbook, used by the gate; the verdict of POST /proposals/gate holds what it says',
  ops_is_auto_approvable:
    'a name of the runbook, used by the gate; POST /proposals/gate says the same and why',
  ops_archive: 'the heartbeat archives by policy `retention`; at once, by hand, it is an operator’s SQL',
  ops_define_check:
    'for checks that come with a migration of their own; over HTTP they are in policy `invariants`',

  ops_overview: COMMAND_LINE,
  ops_doctor: COMMAND_LINE,
  ops_watch_state: COMMAND_LINE,
  ops_recording: 'reads what policy simulate plays again, which may be a whole month',
}

/** What a beat calls when there is something to do, which an example may or may not meet. */
const nowAndThen: Record<string, string> = {
  ops_settle_schedules: 'a schedule was due: api/phases/schedules.test.ts',
  ops_record_notice: 'there was something to tell: api/monitors/monitors.test.ts',
  ops_report: 'a round of checks was due: api/monitors/monitors.test.ts',
  ops_run_checks: 'the same',
  ops_record_service_check: 'a service was due: api/heartbeat.test.ts',
}

const api = await testApi()

test('every public function is reached by a route, or says why not', async () => {
  const reached = new Set<string>()
  const transport = postgresTransport(urlFor(api.db, 'service_role'))
  const engine = createEngine({
    ...transport,
    rpc(fn, args, options) {
      reached.add(fn.name)
      return transport.rpc(fn, args, options)
    },
  })

  const app = appOver(engine, { requestsPerMinute: 1000 })
  const { operations } = await describedOperations(app)
  const send = exampleSender(api)
  for (const operation of operations) await (await send(app, operation)).arrayBuffer()
  await engine.close()

  const functions = await api.db.sql<{ name: string }[]>`
    select distinct proname as name from pg_proc
    where pronamespace = 'public'::regnamespace and proname like 'ops\\_%' and prorettype <> 'trigger'::regtype order by 1`
  expect(functions.length).toBeGreaterThan(50)
  const others = functions.map(({ name }) => name).filter((name) => !reached.has(name))
  expect(others.filter((name) => !(name in nowAndThen))).toEqual(Object.keys(elsewhere).sort())
})

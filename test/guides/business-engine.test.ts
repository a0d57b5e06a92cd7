/**
 * The daily checks of the AI Business Engine guide, line by line: its endpoints, its error logs, the metrics of its dashboards, and what it asks
 * Redis about its stream, each by what answers here.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { answer, run } from '../../cli/testing.js'
import { type Loop, startLoop } from './loop.js'

let loop: Loop

beforeAll(async () => {
  loop = await startLoop()
  await loop.propose({ fail: 'the ledger is closed' })
  await loop.propose()
  await loop.beat()
  await loop.clock.advance(300)
  await loop.beat()
})

describe('check service health endpoints', () => {
  test.each(['/health', '/readyz', '/metrics', '/livez'])('%s', async (path) => {
    expect(await loop.curl(path)).toMatchObject({ status: 200 })
  })
})

describe('review error logs', () => {
  test('what failed, with its error', async () => {
    const failures = 'select kind, last_error from ops_recent_failures limit 50'
    expect(await loop.rows(failures)).toEqual([{ kind: 'noop', last_error: 'the ledger is closed' }])
    expect(await answer('dead', 'list')).toMatchObject([{ last_error: 'the ledger is closed' }])
  })

  test('heartbeats that failed, and with what', async () => {
    await loop.db.sql`select ops_record_heartbeat(false, '{"errors": [{"message": "no database"}]}')`
    const failures = `select data #>> '{errors,0,message}' as error from ops_agent_events where type = 'heartbeat:failure'`
    expect(await loop.rows(failures)).toEqual([{ error: 'no database' }])
    expect((await loop.verify()).heartbeat).toMatchObject([
      { status: 'broken', message: expect.stringContaining('no database') },
    ])
  })
})

describe('monitor dashboard metrics', () => {
  test.each([
    ['api_request_latency_seconds, api_errors_total: watched as alerts', /^# TYPE ops_alerts gauge$/m],
    ['redis_stream_lag_seconds: the oldest step that could run', /^ops_oldest_queued_seconds 0$/m],
    [
      'manager_planning_duration_seconds: how long heartbeats take',
      /^ops_heartbeat_duration_seconds_count\{outcome="success"\} 2$/m,
    ],
    ['API SLO: canaries through the whole loop', /^ops_canary_leg_seconds\{leg="total"\} \d/m],
    ['orchestrator: heartbeats and workers', /^ops_workers_live 1$/m],
  ])('%s', async (_, line) => {
    expect((await loop.curl('/metrics')).text).toMatch(line)
  })

  test('rate of errors and slow answers of the API raise alerts', async () => {
    await loop.clock.advance(60)
    await loop.db.sql`select ops_evaluate_alerts('{"api_error_percent": 21, "api_p99_ms": 1500}')`
    expect(await loop.alerts()).toEqual(expect.arrayContaining(['P0 api_error_percent', 'P2 api_p99_ms']))
  })
})

describe('verify Redis stream health', () => {
  test('XINFO STREAM, XLEN: what waits', async () => {
    const waits = Object.fromEntries(
      (await loop.rows('select metric, count::int as count from ops_queue_depth')).map(
        ({ metric, count }) => [metric, count],
      ),
    )
    expect(waits).toMatchObject({ queued_reactions: 0, queued_steps: 0, running_steps: 0 })
  })

  test('XINFO GROUPS and CONSUMERS: who works, and how far behind', async () => {
    expect(await loop.rows('select name, live from ops_workers')).toEqual([{ name: 'vps-1', live: true }])
    expect(await answer('status')).toMatchObject({ workers: { live: 1 }, oldest_queued_seconds: 0 })
  })

  test('XPENDING: what was handed out and is not done; XCLAIM: nothing hangs past its lease', async () => {
    expect(await loop.rows(`select id from ops_mission_steps where status = 'running'`)).toEqual([])
    const [check] = await loop.rows(`select outcome from ops_check_runs where name = 'running_past_recovery'`)
    expect(check).toEqual({ outcome: 'clean' })
  })

  test('the dead letter queue: its size, its contents, and back into the loop', async () => {
    expect(await loop.rows('select count(*)::int as size from ops_dead_letters')).toEqual([{ size: 1 }])
    const { exitCode } = await run('dead', 'retry', '--kind', 'noop', '--as', 'dana')
    expect(exitCode).toBe(0)
    await expect
      .poll(() => loop.rows('select last_error from ops_dead_letters'))
      .toEqual([{ last_error: 'the ledger is closed' }])
  })
})

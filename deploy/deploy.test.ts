/** What is deployed beside the code speaks of commands, metrics and thresholds that exist. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, inject, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { appOver, KEY, testApi } from '../api/testing.js'
import { createProgram } from '../cli/program.js'
import packageJson from '../package.json' with { type: 'json' }
import { defaultPolicies } from '../policies/index.js'
import { freshDatabase, urlFor } from '../test/support/database.js'

const file = (name: string) => readFile(new URL(name, import.meta.url), 'utf8')

const rulesSchema = z.object({
  groups: z.array(
    z.object({
      rules: z.array(
        z.object({
          alert: z.string(),
          expr: z.string(),
          labels: z.object({
            severity: z.enum(['warning', 'critical']),
            priority: z.enum(['P0', 'P1', 'P2', 'P3']),
          }),
          annotations: z.object({ summary: z.string(), runbook: z.literal('docs/runbook.md') }),
        }),
      ),
    }),
  ),
})
const rules = rulesSchema
  .parse(parse(await file('prometheus-rules.yml')))
  .groups.flatMap((group) => group.rules)
const dashboard = z
  .object({
    panels: z.array(z.object({ title: z.string(), targets: z.array(z.object({ expr: z.string() })) })),
  })
  .parse(JSON.parse(await file('grafana-dashboard.json')))

const { rules: thresholds } = z
  .object({
    rules: z.record(z.string(), z.looseObject({ warning: z.number(), critical: z.number().optional() })),
  })
  .parse(defaultPolicies.alerts)

/** What rings for each row of the runbook's table. */
const ROWS: Record<string, string[]> = {
  'heartbeat failing or silent': ['OpsLoopHeartbeatFailing', 'OpsLoopHeartbeatSilent'],
  'worker idle with queued steps': ['OpsLoopWorkerIdle'],
  'proposal latency': ['OpsLoopProposalLatency'],
  'mission success rate': ['OpsLoopMissionSuccess'],
  'dead letters': ['OpsLoopDeadLetters'],
  'queue of events': ['OpsLoopEventsQueue'],
  'queue of steps': ['OpsLoopStepsQueue'],
  'service down': ['OpsLoopServiceDown'],
}

const metricsIn = (expr: string) => expr.match(/\bops_[a-z_]+/g) ?? []

describe('metrics', () => {
  test('that rules and dashboard ask for are those that the control plane tells', async () => {
    const { db, engine, propose, worker, policy } = await testApi()
    await policy('auto_approve', { enabled: true })
    await propose()
    await worker.fail()
    await engine.recordHeartbeat(true, {})
    // Something for each gauge of the watch to tell.
    await policy('services', { services: { billing: { url: 'http://localhost' } } })
    await engine.recordServiceCheck({ name: 'billing', ok: true })
    await engine.report('backup', 1)
    await engine.runChecks(['order'])
    await db.sql`insert into ops.canaries (status) values ('returned')`
    const answer = await appOver(engine).request('/metrics', { headers: { authorization: `Bearer ${KEY}` } })
    const told = [...(await answer.text()).matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(
      ([, name = '', type]) =>
        type === 'histogram' ? ['_bucket', '_sum', '_count'].map((suffix) => name + suffix) : [name],
    )
    const asked = [
      ...rules.map(({ expr }) => expr),
      ...dashboard.panels.flatMap((p) => p.targets.map((t) => t.expr)),
    ]
    expect(asked.flatMap(metricsIn).filter((name) => !told.includes(name))).toEqual([])
    // And the other way round: what watches the loop is on the dashboard, or rings.
    const watched = told.filter((name) =>
      /^ops_(alerts|check|invariant|canary|service|channel|notices|backup)/.test(name),
    )
    expect(watched.length).toBeGreaterThan(10)
    expect(watched.filter((name) => !asked.flatMap(metricsIn).includes(name))).toEqual([
      'ops_canary_sent_timestamp_seconds',
    ])
  })

  test('ring for each row of the runbook, as a warning and as critical', async () => {
    const section =
      /^## When an alert rings$([\s\S]*?)^## /m.exec(await file('../docs/runbook.md'))?.[1] ?? ''
    const rows = [...section.matchAll(/^\| (?!alert|---)([^|]+?) \|/gm)].map(([, row = '']) => row)
    expect(rows.filter((row) => !(row in ROWS))).toEqual([])
    for (const row of Object.keys(ROWS)) expect(rows).toContain(row)
    for (const alert of Object.values(ROWS).flat()) {
      const severities = rules.filter((rule) => rule.alert === alert).map(({ labels }) => labels.severity)
      expect([alert, severities]).toEqual([
        alert,
        alert === 'OpsLoopHeartbeatSilent' ? ['critical'] : ['warning', 'critical'],
      ])
    }
  })

  test('ring for every severity that the loop itself knows, and for no rule that it does not', () => {
    const known = Object.keys(thresholds)
    const asked = rules.flatMap(({ expr }) => /rule="(\w+)"/.exec(expr)?.slice(1) ?? [])
    const others = rules.find(({ expr }) => expr.includes('rule!~'))
    const excluded = /rule!~"([^"]+)"/.exec(others?.expr ?? '')?.[1]?.split('|') ?? []
    expect(new Set(asked)).toEqual(new Set(excluded))
    expect(asked.filter((rule) => !known.includes(rule))).toEqual([])
    const severities = rules
      .filter(({ alert }) => alert === 'OpsLoopAlert')
      .map(({ expr, labels }) => `${/severity="(\w+)"/.exec(expr)?.[1]} ${labels.priority}`)
    expect(severities).toEqual(['warning P2', 'high P1', 'critical P0'])
  })

  test('have the thresholds of the default alerts', () => {
    const numbers = (alert: string) =>
      Object.fromEntries(
        rules
          .filter((rule) => rule.alert === alert)
          .map(({ labels, expr }) => [
            labels.severity,
            Number(/(?:>=?) (\d+)(?! *(?:and|or))/.exec(expr.replace(/ and .*/, ''))?.[1]),
          ]),
      )
    expect(numbers('OpsLoopHeartbeatFailing')).toEqual(thresholds.heartbeat_failures)
    expect(numbers('OpsLoopEventsQueue')).toEqual(thresholds.queued_events)
    expect(numbers('OpsLoopStepsQueue')).toEqual(thresholds.queued_steps)
    expect(numbers('OpsLoopBackupOld')).toEqual({
      warning: 3600 * (thresholds.backup_age_hours?.warning ?? 0),
      critical: 3600 * (thresholds.backup_age_hours?.critical ?? 0),
    })
    expect(numbers('OpsLoopChannelFailing')).toEqual(thresholds.channel_failures)
    expect(numbers('OpsLoopDeadLetters')).toEqual(thresholds.dead_letters_per_hour)
  })
})

describe('commands', () => {
  test('of the crontab are scripts of package.json', async () => {
    const lines = (await file('ops-loop.cron')).split('\n').filter((line) => /^\*/.test(line))
    const scripts = lines.map((line) => /npm run --silent (\S+)/.exec(line)?.[1])
    expect(scripts).toEqual(['heartbeat', 'worker'])
    for (const script of scripts) expect(Object.keys(packageJson.scripts)).toContain(script)
  })

  test('of the crontab run as they stand there, by an environment that is as bare as cron’s', async () => {
    const database = await freshDatabase()
    // But for the canary, which the worker would meet or not.
    await database.sql`delete from ops.watch where part <> 'canary'`
    const folder = await mkdtemp(join(inject('testDir'), 'cron-'))
    const repository = fileURLToPath(new URL('..', import.meta.url))
    const lines = (await file('ops-loop.cron')).split('\n').filter((line) => /^\*/.test(line))
    const env = {
      PATH: `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`,
      HOME: folder,
      // Of the .env file, which this folder has not.
      DATABASE_URL: urlFor(database, 'service_role'),
    }
    await writeFile(join(folder, 'env'), `DATABASE_URL='${urlFor(database, 'ops_worker')}'\n`)
    const logs = await Promise.all(
      lines.map(async (line) => {
        const [, command = ''] = /^(?:\S+ ){5}ops-loop (.*)$/.exec(line) ?? []
        const here = command
          .replace('/opt/ops-loop', repository)
          .replace('/var/log', folder)
          .replace('/etc/ops-loop', folder)
        await promisify(execFile)('/bin/sh', ['-c', here], { env })
        return readFile(join(folder, /ops-\w+\.log/.exec(line)?.[0] ?? ''), 'utf8')
      }),
    )
    expect(logs).toEqual([expect.stringContaining('"ok":true'), 'No queued steps\n'])
    // Each under the login that the loop expects of it.
    await database.sql`select from ops_run_checks('{runtime_identity}')`
    expect(await database.sql`select message from invariant_violations where not resolved`).toEqual([])
  })

  test('of logrotate turn over the files that the crontab writes, and hand them to who writes them', async () => {
    const written = [...(await file('ops-loop.cron')).matchAll(/>> (\S+)/g)].map(([, path]) => path)
    const [, glob = '', block = ''] = /^(\S+) \{\n([\s\S]*)\}\n$/.exec(await file('ops-loop.logrotate')) ?? []
    expect(written).toHaveLength(2)
    const pattern = new RegExp(`^${glob.replaceAll('.', '\\.').replace('*', '[^/]*')}$`)
    for (const path of written) expect(path).toMatch(pattern)
    expect(block).toMatch(/^ {4}create 0640 ops-loop adm$/m)
  })

  test('of the unit are understood by the program', async () => {
    const unit = await file('ops-loop-worker.service')
    const args =
      /^ExecStart=\/usr\/bin\/node (?:--\S+ )*cli\/ops-loop\.mjs (.*)$/m.exec(unit)?.[1]?.split(' ') ?? []
    const program = createProgram({ json: false })
    const command = program.commands.find((one) => one.name() === args[0])
    expect(command?.parseOptions(args.slice(1))).toMatchObject({ operands: [], unknown: [] })
  })

  test('of the unit give a worker a minute to drain, and then a second signal', async () => {
    const unit = await file('ops-loop-worker.service')
    expect(unit).toMatch(/^KillMode=mixed$/m)
    expect(unit).toMatch(/^KillSignal=SIGTERM$/m)
    const waited = Number(/-lt (\d+) \]/.exec(unit)?.[1])
    expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(waited)
  })
})

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { connectEngine, type Engine } from '../engine/index.js'
import { freshDatabase, type TestDatabase, urlFor } from '../test/support/database.js'
import { onFileEnd } from '../test/support/fileEnd.js'
import { drain, type WorkerRun } from '../test/support/worker.js'

/** What a worker process with a careless executor leaves in a real database, and in its own output. */

const SECRET = 'hunter22"/+ä'
const OTHERS = 'not-for-this-executor'
const KEY = 'sk_live_1234567'
const PASSWORD = 'open-sesame-99'

const importing = (path: string) => JSON.stringify(pathToFileURL(join(import.meta.dirname, path)).href)

/** Says what it must not say, in every place where an executor can say something. */
const CARELESS = `
  import { z } from ${JSON.stringify(import.meta.resolve('zod'))}
  import { defineExecutor, done, fail, retry, snooze } from ${importing('../executors/define.ts')}
  const forms = (secret) => [
    secret, JSON.stringify(secret), encodeURIComponent(secret), Buffer.from(secret).toString('base64'),
    Buffer.from('user:' + secret).toString('base64'),
  ].join(' ')
  export default defineExecutor({
    kind: 'careless',
    params: z.object({ how: z.string(), secrets: z.array(z.string()).default([]) }),
    env: ['CARELESS_LOGIN'],
    async run({ params, env, emit, log }) {
      const all = [env.CARELESS_LOGIN, process.env.SOME_API_KEY, process.env.SERVICE_URL].map((value) => forms(value ?? 'none')).join(' ')
      log.info({ deep: { all: [all] } }, 'knows ' + all)
      log.error(new Error(all), 'failed with ' + all)
      if (params.how === 'env') return done(env)
      if (params.how === 'done') {
        emit({ type: 'careless:said', data: { all, [all]: 1 }, dedupe_key: 'said ' + env.CARELESS_LOGIN })
        return done({ all, [all]: [all] }, { meta: { all } })
      }
      if (params.how === 'fail') return fail(all, { meta: { all } })
      if (params.how === 'retry') return retry({ error: new Error('wrong', { cause: new Error(all) }), afterSeconds: 3600 })
      if (params.how === 'snooze') return snooze(3600, all)
      if (params.how === 'throw') throw new Error(all)
      if (params.how === 'type') { emit({ type: process.env.SOME_API_KEY }); return done() }
      const bad = { nul: 'a\\0b', surrogate: 'a\\ud800b', large: 'x'.repeat(5 * 1024 * 1024), bigint: 1n, nan: NaN }
      const [, where, what] = params.how.split(' ')
      if (where === 'result') return done({ it: bad[what] })
      if (where === 'meta') return done('fine', { meta: { it: bad[what] } })
      if (where === 'event') { emit({ type: 'careless:said', data: { it: bad[what] } }); return done() }
      if (where === 'error') return fail('broken: ' + String(bad[what]))
      if (where === 'key') return done({ [bad[what]]: 1 })
    },
  })
`

const SAYING = ['done', 'fail', 'retry', 'snooze', 'throw', 'type']
const UNSTORABLE = ['result', 'meta', 'event', 'key'].flatMap((where) =>
  ['nul', 'surrogate', 'large'].map((what) => `bad ${where} ${what}`),
)
const MORE = ['bad result bigint', 'bad result nan']
const ERRORS = ['bad error nul', 'bad error surrogate', 'bad error large']

let database: TestDatabase
let control: Engine
let run: WorkerRun

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ops-loop-careless-'))
  onFileEnd(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'careless.ts'), CARELESS)
  database = await freshDatabase()
  control = connectEngine({ databaseUrl: urlFor(database, 'service_role') })
  onFileEnd(() => control.close())
  await database.sql`
    update ops_policy set value = '{"enabled": true, "allowed_step_kinds": ["careless", "noop"]}' where key = 'auto_approve'`
  await database.sql`update ops_policy set value = '{"daily_limit": 1000}' where key = 'proposal_caps'`
  for (const how of ['env', ...SAYING, ...UNSTORABLE, ...MORE, ...ERRORS]) {
    // One failure is enough: another attempt would only say it again.
    const steps = [{ key: 'say', kind: 'careless', params: { how }, max_retries: 1 }]
    const { reason, mission_id } = await control.createProposal({
      source: 'test',
      template: { title: how, risk_level: 'low', steps },
    })
    if (!mission_id) throw new Error(`not admitted: ${reason}`)
  }
  run = await drain(database, {
    executors: folder,
    env: {
      CARELESS_LOGIN: SECRET,
      ANOTHER_LOGIN: OTHERS,
      SOME_API_KEY: KEY,
      SERVICE_URL: `https://me:${PASSWORD}@service.test/`,
    },
  })
})

/** A step by the title of its mission. */
async function stepOf(how: string) {
  const [step] = await database.sql`
    select s.status, s.last_error, s.result, s.failure_count from ops_mission_steps s join ops_missions m on m.id = s.mission_id
    where m.title = ${how}`
  return step ?? {}
}

describe('secrets', () => {
  const forms = [SECRET, KEY, PASSWORD].flatMap((secret) => [
    secret,
    JSON.stringify(secret).slice(1, -1),
    encodeURIComponent(secret),
    // Without its last characters, which depend on what follows.
    Buffer.from(secret).toString('base64').slice(0, -4),
  ])

  it('are nowhere in the database, in no form', async () => {
    const tables = await database.sql<{ name: string }[]>`
      select format('%I.%I', table_schema, table_name) as name from information_schema.tables
      where table_schema in ('public', 'ops') and table_type = 'BASE TABLE'`
    expect(tables.length).toBeGreaterThan(15)
    for (const { name } of tables) {
      const rows = await database.sql.unsafe(`select t::text as text from ${name} t`)
      const text = rows.map((row) => String(row.text)).join('\n')
      for (const form of forms) expect(text.includes(form), `${form} in ${name}`).toBe(false)
    }
  })

  it('are nowhere in what the worker writes', () => {
    expect(run.stderr).toContain('[masked]')
    for (const form of forms) expect(run.stdout + run.stderr).not.toContain(form)
  })

  it('leave the rest of what was said where it was said', async () => {
    expect(JSON.stringify((await stepOf('done')).result)).toContain('[masked]')
    for (const how of ['fail', 'retry', 'throw', 'type'])
      expect((await stepOf(how)).last_error).toContain('[masked]')
    const events =
      await database.sql`select data::text as data, dedupe_key from ops_agent_events where type = 'careless:said'`
    expect(events).toEqual([{ data: expect.stringContaining('[masked]'), dedupe_key: 'said [masked]' }])
    const runs =
      await database.sql`select meta::text as meta, error from ops_action_runs where meta::text like '%masked%'`
    expect(runs.length).toBeGreaterThanOrEqual(2)
  })

  it('of others are not handed to an executor', async () => {
    expect((await stepOf('env')).result).toEqual({ CARELESS_LOGIN: '[masked]' })
  })
})

describe('what cannot be stored', () => {
  it.each([...UNSTORABLE, ...MORE])('fails its step at once, and says where it is: %s', async (how) => {
    const { status, last_error, failure_count } = await stepOf(how)
    const [, where, what] = how.split(' ')
    const reason = { nul: /NUL/, surrogate: /surrogate/, large: /1 MiB/, bigint: /bigint/, nan: /NaN/ }[
      what ?? ''
    ]
    expect(status).toBe('failed')
    // The executor that emits such an event is told while it runs, so that error is its own.
    if (where !== 'event') expect(last_error).toMatch(/^OPS_011: (result|meta)/)
    expect(last_error).toMatch(reason ?? /never/)
    expect(failure_count).toBe(1)
  })

  it.each(ERRORS)('in an error becomes what can: %s', async (how) => {
    const { status, last_error } = await stepOf(how)
    expect(status).toBe('failed')
    expect(last_error).toMatch(/^broken: /)
    expect(last_error.length).toBeLessThanOrEqual(4000)
  })

  it('leaves no step running and no worker broken', async () => {
    expect(await database.sql`select * from ops_mission_steps where status = 'running'`).toEqual([])
    expect(run.exitCode).toBe(0)
    expect(run.stdout).toMatch(/^24 steps: 2 succeeded, 21 failed, 1 snoozed$/)
  })
})

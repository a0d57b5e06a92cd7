import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { connectEngine, engineFromEnv } from './connect.js'
import { envSchema, loadDotEnv, parseEnv } from './env.js'
import { OpsError } from './errors.js'

const read = (variables: Record<string, string | undefined>) => parseEnv(envSchema, variables)

function caught(run: () => unknown): OpsError {
  try {
    run()
  } catch (error) {
    if (error instanceof OpsError) return error
    throw error
  }
  throw new Error('expected an OpsError')
}

describe('reading the environment', () => {
  test('has a default for every number and for nothing else', () => {
    expect(read({})).toEqual({
      OPS_EVENT_BATCH_SIZE: 50,
      OPS_REACTION_BATCH_SIZE: 50,
      OPS_STEP_LEASE_MINUTES: 5,
      OPS_WORKER_MAX_RETRIES: 3,
      OPS_STALE_STEP_MINUTES: 15,
    })
  })

  test('takes an empty variable for one that is not set', () => {
    expect(read({ OPS_API_KEY: '', OPS_EVENT_BATCH_SIZE: '' })).toMatchObject({ OPS_EVENT_BATCH_SIZE: 50 })
    expect(read({ OPS_API_KEY: '' }).OPS_API_KEY).toBeUndefined()
  })

  test('reads numbers and addresses', () => {
    const DATABASE_URL = 'postgresql://postgres.ref:p%40ss@db.example.com:6543/postgres?pgbouncer=true'
    expect(
      read({ DATABASE_URL, SUPABASE_URL: 'http://127.0.0.1:54321', OPS_WORKER_MAX_RETRIES: '0' }),
    ).toMatchObject({
      DATABASE_URL,
      SUPABASE_URL: 'http://127.0.0.1:54321',
      OPS_WORKER_MAX_RETRIES: 0,
    })
  })

  test('names every variable that is wrong in one error, without its value', () => {
    const error = caught(() =>
      read({
        DATABASE_URL: 'mysql://root:hunter2@localhost/x',
        SUPABASE_URL: 'hunter2',
        OPS_EVENT_BATCH_SIZE: '0',
        OPS_STEP_LEASE_MINUTES: 'hunter2',
        OPS_WORKER_MAX_RETRIES: '1.5',
      }),
    )
    expect(error.code).toBe('OPS_011')
    expect(error.message).toMatchInlineSnapshot(`
      "These environment variables are wrong:
        DATABASE_URL must be an address such as postgresql://user:password@host:5432/database
        SUPABASE_URL must be an address such as https://<project>.supabase.co
        OPS_EVENT_BATCH_SIZE must be a whole number from 1 to 1000
        OPS_STEP_LEASE_MINUTES must be a whole number from 1 to 1440
        OPS_WORKER_MAX_RETRIES must be a whole number from 0 to 100"
    `)
    expect(JSON.stringify({ ...error, cause: error.cause })).not.toContain('hunter2')
  })

  test('reads a part’s own variables along with the shared ones', () => {
    const schema = envSchema.extend({ PORT: z.coerce.number().default(3000) })
    expect(parseEnv(schema, { PORT: '8080' })).toMatchObject({ PORT: 8080, OPS_EVENT_BATCH_SIZE: 50 })
  })
})

describe('.env', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ops-env-'))
  afterEach(() => {
    vi.unstubAllEnvs()
    rmSync(join(folder, '.env'), { force: true })
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test('fills in what is not set and leaves the rest alone', () => {
    writeFileSync(join(folder, '.env'), 'OPS_TEST_SET=file\nOPS_TEST_UNSET="from file"\n')
    vi.stubEnv('OPS_TEST_SET', 'process')
    vi.stubEnv('OPS_TEST_UNSET', undefined)
    loadDotEnv(folder)
    expect([process.env.OPS_TEST_SET, process.env.OPS_TEST_UNSET]).toEqual(['process', 'from file'])
  })

  test.each([
    ['begins with the mark that Windows editors put there', '\ufeffOPS_TEST_UNSET=value\r\n'],
    ['holds a line that is no variable', 'what is this\n\nOPS_TEST_UNSET=value\n'],
    ['exports, and has comments', "# mine\nexport OPS_TEST_UNSET='value' # the one\n"],
  ])('%s: the variables are read all the same', (_, text) => {
    writeFileSync(join(folder, '.env'), text)
    vi.stubEnv('OPS_TEST_UNSET', undefined)
    loadDotEnv(folder)
    expect(process.env.OPS_TEST_UNSET).toBe('value')
  })

  test('may be missing', () => {
    expect(() => loadDotEnv(join(folder, 'nowhere'))).not.toThrow()
  })
})

describe('choosing a database', () => {
  const databaseUrl = 'postgresql://user:hunter2@127.0.0.1:5432/ops'

  test('DATABASE_URL wins', async () => {
    const engine = engineFromEnv({
      DATABASE_URL: databaseUrl,
      SUPABASE_URL: 'http://127.0.0.1',
      SUPABASE_SECRET_KEY: 'k',
    })
    expect(engine.transport).toBe('postgres')
    await engine.close()
  })

  test.each(['SUPABASE_SECRET_KEY', 'SUPABASE_SERVICE_ROLE_KEY'])('Supabase with %s', (key) => {
    expect(engineFromEnv({ SUPABASE_URL: 'http://127.0.0.1', [key]: 'k' }).transport).toBe('supabase')
  })

  test.each([{}, { SUPABASE_URL: 'http://127.0.0.1' }, { SUPABASE_SECRET_KEY: 'k' }])(
    'without one it names the variables',
    (env) => {
      const error = caught(() => engineFromEnv(env))
      expect(error.code).toBe('OPS_001')
      expect(error.message).toMatch(/DATABASE_URL.*SUPABASE_URL.*SUPABASE_SECRET_KEY/)
    },
  )

  test.each([
    [{ databaseUrl: 'hunter2' }],
    [{ databaseUrl: 'http://user:hunter2@127.0.0.1/ops' }],
    [{ databaseUrl: 'postgresql://user:hunter2@127.0.0.1:port/ops' }],
    [{ databaseUrl: 'postgresql://user:hunter2%@127.0.0.1:5432/ops' }],
    [{ databaseUrl: 'postgresql://user:hunter2#1@127.0.0.1:5432/ops' }],
    [{ supabaseUrl: 'hunter2', supabaseKey: 'k' }],
    [{ supabaseUrl: 'http://127.0.0.1', supabaseKey: 'hunter2\n' }],
    [{ supabaseUrl: 'http://127.0.0.1', supabaseKey: '' }],
  ])('an address of the wrong form is an error that does not repeat it', (options) => {
    const error = caught(() => connectEngine(options))
    expect([error.code, error.cause]).toEqual(['OPS_001', undefined])
    expect(error.message).not.toContain('hunter2')
  })

  test('only a direct connection can listen', async () => {
    const engines = [
      connectEngine({ databaseUrl }),
      connectEngine({ databaseUrl: databaseUrl.replace('5432', '6543') }),
      connectEngine({ databaseUrl: `${databaseUrl}?pgbouncer=true` }),
      connectEngine({ supabaseUrl: 'http://127.0.0.1', supabaseKey: 'k' }),
    ]
    expect(engines.map(({ listen }) => listen !== undefined)).toEqual([true, false, false, false])
    await Promise.all(engines.map((engine) => engine.close()))
  })
})

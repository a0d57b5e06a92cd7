import { describe, expect, test } from 'vitest'
import { fromDatabaseError, isOpsCode, isRetryable, OpsError } from './errors.js'

/** An error as postgres.js throws it: what the server sent, as properties. */
const postgresError = (fields: Record<string, unknown>) =>
  Object.assign(new Error(), { severity: 'ERROR' }, fields)

const raised = {
  code: 'OP004',
  message: 'template: steps[0].kind is required',
  hint: 'name an executor',
}

describe('an error that the engine raised', () => {
  test.each([
    ['postgres', postgresError({ ...raised, detail: '{"path": "steps[0].kind"}' })],
    ['supabase', { ...raised, details: '{"path": "steps[0].kind"}', status: 400 }],
  ] as const)('keeps its code, sentence, details and fix over %s', (transport, error) => {
    const translated = fromDatabaseError(error, transport)
    expect(translated).toMatchObject({
      name: 'OpsError',
      code: 'OPS_004',
      message: raised.message,
      details: { path: 'steps[0].kind' },
      hint: raised.hint,
    })
    expect(translated.cause).toBe(error)
    expect(isRetryable(translated)).toBe(false)
  })

  test('has no hint where the database left it empty', () => {
    expect(fromDatabaseError({ ...raised, hint: '' }, 'supabase').hint).toBeUndefined()
  })

  test('keeps details that are no JSON as text', () => {
    expect(fromDatabaseError({ ...raised, details: 'step 1' }, 'supabase').details).toBe('step 1')
  })

  test('never translates twice', () => {
    const error = new OpsError('OPS_013', 'there is no step')
    expect(fromDatabaseError(error, 'postgres')).toBe(error)
  })
})

describe('a failure that passes by itself', () => {
  test.each([
    ['a refused connection', { code: 'ECONNREFUSED' }],
    ['a name that does not resolve', { code: 'EAI_AGAIN' }],
    ['a connection that broke', { code: 'CONNECTION_CLOSED' }],
    ['a slow start', { code: 'CONNECT_TIMEOUT' }],
    ['a server that shuts down', { code: '57P01' }],
    ['a lost connection', { code: '08006' }],
    ['a failed fetch', { code: '', message: 'TypeError: fetch failed', status: 0 }],
    ['a gateway without a server behind it', { message: '<html>522</html>', status: 522 }],
    ['PostgREST without a database', { code: 'PGRST001', message: 'x', status: 503 }],
    ['a deadlock', { code: '40P01' }],
    ['a serialisation failure', { code: '40001' }],
    ['a lock that is not free', { code: '55P03' }],
    ['too many connections', { code: '53300' }],
    ['a rate limit', { message: 'slow down', status: 429 }],
    ...[
      '(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 15',
      '(EMAXCLIENTCONN) max client connections reached, limit: 200',
      'MaxClientsInSessionMode: max clients reached - in Session mode max clients are limited to pool_size',
      'Max client connections reached',
      '(ECHECKOUTTIMEOUT) Pool checkout timeout. Request was dropped after 60000ms in Transaction mode.',
      'Unable to check out connection from the pool after 60000ms in transaction mode',
      '(EDBHANDLEREXITED) connection to database closed. Check logs for more information',
      'DbHandler exited. Check logs for more information',
    ].map((message): [string, object] => [`Supavisor: ${message}`, { code: 'XX000', message }]),
  ])('is OPS_001 and can be retried: %s', (_, error) => {
    const translated = fromDatabaseError(error, 'postgres')
    expect(translated.code).toBe('OPS_001')
    expect(isRetryable(translated)).toBe(true)
    expect(isRetryable(error)).toBe(true)
  })
})

describe('a failure that somebody has to repair', () => {
  test.each([
    ['a wrong password', { code: '28P01' }, 'OPS_001', /check the user and password in DATABASE_URL/],
    ['a missing database', { code: '3D000' }, 'OPS_001', /check DATABASE_URL/],
    ['a missing function', { code: '42883' }, 'OPS_001', /older than this program.*run npm run migrate/],
    ['a role without rights', { code: '42501', message: 'permission denied' }, 'OPS_012', /may not/],
    ['text that is no uuid', { code: '22P02', message: 'invalid input syntax' }, 'OPS_011', /input/],
    ['a broken constraint', { code: '23514', message: 'violates check "x"' }, 'OPS_011', /check "x"/],
    ['a taken key', { code: '23505', message: 'duplicate key' }, 'OPS_014', /duplicate key/],
    [
      "a user that Supavisor doesn't know",
      { code: 'XX000', message: '(ENOTFOUND) tenant/user postgres.abc not found' },
      'OPS_001',
      /tenant\/user postgres\.abc not found/,
    ],
    ['anything else', { code: 'XX000', message: 'Tenant not found' }, 'OPS_001', /Tenant not found/],
    ['something that is no error', undefined, 'OPS_001', /failed/],
  ])('says what to do and cannot be retried: %s', (_, error, code, message) => {
    const translated = fromDatabaseError(error, 'postgres')
    expect(translated.code).toBe(code)
    expect(translated.message).toMatch(message)
    expect(isRetryable(translated)).toBe(false)
  })

  test.each([
    ['a key that PostgREST cannot verify', { code: 'PGRST301', message: 'JWSInvalidSignature', status: 401 }],
    ['a key that the gateway does not know', { message: 'Invalid API key', status: 401 }],
  ])('names the key: %s', (_, error) => {
    const translated = fromDatabaseError(error, 'supabase')
    expect(translated).toMatchObject({
      code: 'OPS_001',
      message: expect.stringMatching(/SUPABASE_SECRET_KEY/),
    })
    expect(isRetryable(translated)).toBe(false)
  })

  test('names the migration where PostgREST does not find a function', () => {
    const error = { code: 'PGRST202', message: 'Could not find the function', status: 404 }
    expect(fromDatabaseError(error, 'supabase').message).toMatch(/run npm run migrate/)
  })
})

test('rows in the server’s details stay out of the error', () => {
  const error = postgresError({
    code: '23514',
    message: 'violates',
    detail: 'Failing row contains (s3cret).',
  })
  const { message, details } = fromDatabaseError(error, 'postgres')
  expect(`${message}${JSON.stringify(details)}`).not.toContain('s3cret')
})

test('errors of the program itself cannot be retried', () => {
  expect(isRetryable(new TypeError('x is not a function'))).toBe(false)
  expect(isRetryable(new OpsError('OPS_001', 'No database is configured'))).toBe(false)
  expect(isRetryable('oops')).toBe(false)
})

test('codes are those of the list', () => {
  expect(isOpsCode('OPS_016')).toBe(true)
  expect(isOpsCode('OPS_017')).toBe(false)
  expect(isOpsCode('toString')).toBe(false)
})

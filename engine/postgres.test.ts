import { once } from 'node:events'
import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { freshDatabase, urlFor } from '../test/support/database.js'
import { onFileEnd } from '../test/support/fileEnd.js'
import { startRelay } from '../test/support/relay.js'
import { fromDatabaseError, isRetryable } from './errors.js'
import { sqlFunctions } from './functions.js'
import { isoOf, postgresTransport, statement } from './postgres.js'

test('arguments travel as text, by name, and are cast by the server', () => {
  expect(
    statement(sqlFunctions.renewSteps, { p_leases: [{ step_id: 's', token: 't' }], p_lease_seconds: 60 }),
  ).toEqual({
    text: 'select * from public.ops_renew_steps(p_leases => $1::text::jsonb, p_lease_seconds => $2::text::int)',
    values: ['[{"step_id":"s","token":"t"}]', '60'],
  })
})

test('what is left out takes SQL’s default, and null is null', () => {
  expect(
    statement(sqlFunctions.createProposal, { p_dedupe_key: null, p_source: 'api', p_template: {} }).values,
  ).toEqual([null, 'api', '{}'])
  expect(statement(sqlFunctions.dueSchedules, { p_limit: undefined })).toEqual({
    text: 'select to_json(r) as value from (select * from public.ops_due_schedules()) as r',
    values: [],
  })
})

test('tables that travel as they are have plain columns only', async () => {
  const database = await freshDatabase()
  const plain = Object.values(sqlFunctions).flatMap((fn) => (fn.plain ? [fn.name] : []))
  const types = await database.sql`
    select distinct t::regtype::text as type
    from pg_proc p, unnest(p.proallargtypes, p.proargmodes) c(t, mode)
    where p.pronamespace = 'public'::regnamespace and p.proname in ${database.sql(plain)} and c.mode = 't'`
  expect(plain).toContain('ops_claim_steps')
  expect(types.map(({ type }) => type).sort()).toEqual([
    'integer',
    'jsonb',
    'smallint',
    'text',
    'timestamp with time zone',
    'uuid',
  ])
  await database.drop()
})

test('their times are those that JSON has, to the microsecond', async () => {
  const database = await freshDatabase()
  await database.sql.begin(async (tx) => {
    for (const zone of ['UTC', 'Asia/Kolkata', 'America/New_York']) {
      await tx`select set_config('TimeZone', ${zone}, true)`
      const times = await tx`
        select t::text as text, to_json(t) as json
        from unnest('{2026-01-31 09:00:00.123456+00, 2026-07-31 09:00:00+00, 12026-01-01 00:00:00.1+00, infinity, -infinity}'::timestamptz[]) t`
      expect(times.map(({ text }) => isoOf(text))).toEqual(times.map(({ json }) => json))
    }
  })
  await database.drop()
})

test('any text fits an array', () => {
  expect(statement(sqlFunctions.policies, { p_keys: ['a', 'b"c', 'd\\', '{}', ''] }).values).toEqual([
    '{"a","b\\"c","d\\\\","{}",""}',
  ])
})

test('a call on a connection that fell silent ends, can be made again, and then finds another connection', async () => {
  const database = await freshDatabase()
  const relay = await startRelay(urlFor(database, 'ops_operator'))
  const transport = postgresTransport(relay.url, 1, 500)
  const ask = () => transport.rpc(sqlFunctions.policies, {})
  expect(await ask()).not.toEqual([])
  relay.silence()
  const error = await ask().then(
    () => expect.unreachable('the call should end'),
    (reason: unknown) => fromDatabaseError(reason, 'postgres'),
  )
  expect(error).toMatchObject({ code: 'OPS_001', message: expect.stringContaining('ETIMEDOUT') })
  expect(isRetryable(error)).toBe(true)
  expect(await ask()).not.toEqual([])
  await transport.close()
})

/** Turns every client away with a fatal error, as a pooler does that has no room. */
async function fullPooler(message: string): Promise<string> {
  const fields = ['SFATAL', 'VFATAL', 'CXX000', `M${message}`].map((field) => `${field}\0`).join('')
  const answer = Buffer.from(`E\0\0\0\0${fields}\0`)
  answer.writeInt32BE(answer.length - 1, 1)
  const server = createServer((socket) => socket.once('data', () => socket.end(answer)).on('error', () => {}))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onFileEnd(async () => void server.close())
  const address = server.address()
  return `postgres://me:x@127.0.0.1:${typeof address === 'object' ? address?.port : ''}/work`
}

test.each([
  ['(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 15', true],
  ['(ENOTFOUND) tenant/user me.abc not found', false],
])(
  'what Supavisor says when it turns a client away tells whether to ask again: %s',
  async (message, again) => {
    const transport = postgresTransport(await fullPooler(message), 1)
    const error = await transport.rpc(sqlFunctions.policies, {}).then(
      () => expect.unreachable('the call should end'),
      (reason: unknown) => fromDatabaseError(reason, 'postgres'),
    )
    expect(error.message).toContain('XX000')
    expect(isRetryable(error)).toBe(again)
    await transport.close()
  },
)

/** Workers look after the heartbeat: a process that finds it silent says so where people read. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type MailServer, mailServer } from '../channels/testing.js'
import { setPolicy } from '../supabase/tests/world.js'
import { freshDatabase, type TestDatabase } from '../test/support/database.js'
import { drain } from '../test/support/worker.js'

let db: TestDatabase
let mail: MailServer

beforeEach(async () => {
  db = await freshDatabase()
  mail = await mailServer()
  await setPolicy(db.sql, 'alerts', {
    rules: { heartbeat_silence_minutes: { warning: 15 } },
    channels: {
      chat: { type: 'slack', url_variable: 'CHAT' },
      mail: { type: 'email', url_variable: 'MAIL', from: 'ops@example.test', to: ['dana@example.test'] },
    },
    routes: { warning: ['chat', 'mail'] },
  })
  return () => mail.close()
})
afterEach(() => db.drop())

const heartbeat = (minutes: number) =>
  db.sql`insert into ops.heartbeats (ok, report, at) values (true, '{}', now() - ${minutes} * interval '1 minute')`
const notices = async () =>
  (
    await db.sql<
      { line: string }[]
    >`select channel || ' ' || status as line from ops_alert_notices order by 1`
  ).map(({ line }) => line)

test('one that finds the heartbeat silent tells through its own channels, and leaves the others to the control plane', async () => {
  await heartbeat(16)
  const env = { MAIL: `smtp://${mail.host}` }
  const { exitCode, stderr } = await drain(db, { env })
  expect({ exitCode, stderr }).toMatchObject({
    exitCode: 0,
    stderr: expect.stringMatching(/no heartbeat for 1[67](\.\d)? minutes/),
  })
  expect(await notices()).toEqual(['chat pending', 'mail delivered'])
  expect(mail.letters).toHaveLength(1)
  expect(mail.letters[0]?.text).toContain('heartbeat_silence_minutes')
  await drain(db, { env })
  expect(mail.letters).toHaveLength(1)
})

test('one that finds it beating says nothing', async () => {
  await heartbeat(5)
  const { exitCode, stderr } = await drain(db, { env: { MAIL: `smtp://${mail.host}` } })
  expect({ exitCode, stderr }).toMatchObject({
    exitCode: 0,
    stderr: expect.not.stringContaining('heartbeat'),
  })
  expect(await notices()).toEqual([])
})

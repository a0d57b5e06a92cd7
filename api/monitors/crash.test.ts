/** Whoever tells of an alert is killed while the receiver has the message already, and has said nothing yet. */
import { expect, test } from 'vitest'
import { anyAddress } from '../../channels/index.js'
import { serve } from '../../channels/testing.js'
import { urlFor } from '../../test/support/database.js'
import { onFileEnd } from '../../test/support/fileEnd.js'
import { runProgram } from '../../test/support/program.js'
import { testApi } from '../testing.js'
import { deliverNotices } from './notices.js'

const { db, engine, policy } = await testApi()

test('a notice survives SIGKILL: the next process sends it under the same id, and a receiver that knows ids takes it once', async () => {
  /** What a receiver of Standard Webhooks keeps: each id once. */
  const taken = new Set<string>()
  let arrive = () => {}
  const arrived = new Promise<void>((resolve) => {
    arrive = resolve
  })
  const hook = await serve(async (request, response) => {
    taken.add(String(request.headers['webhook-id']))
    if (taken.size === 1 && hook.received.length === 1) {
      arrive()
      return
    }
    response.writeHead(204).end()
  })
  onFileEnd(() => hook.close())
  await policy('alerts', {
    violations: false,
    rules: { queued_events: { warning: 0 } },
    channels: { hook: { type: 'webhook', url_variable: 'HOOK' } },
    routes: { warning: ['hook'] },
  })
  await db.sql`insert into ops_agent_events (type) values ('test:unprocessed')`
  await db.sql`delete from ops.watch where part = 'alerts'`
  await engine.evaluateAlerts()

  const dying = await runProgram('deliver.ts', urlFor(db, 'service_role'), hook.url)
  await arrived
  await dying.kill()
  const settings = { variables: { HOOK: hook.url }, guard: anyAddress }
  expect(await deliverNotices(engine, settings)).toMatchObject({ taken: 0 })
  await db.sql`update ops.alert_notices set lease_expires_at = now()`
  expect(await deliverNotices(engine, settings)).toEqual({ taken: 1, delivered: 1, failures: [] })
  expect(await deliverNotices(engine, settings)).toMatchObject({ taken: 0 })
  expect(hook.received).toHaveLength(2)
  expect(taken.size).toBe(1)
  expect([...(await db.sql`select status, attempts from ops_alert_notices`)]).toEqual([
    { status: 'delivered', attempts: 2 },
  ])
})

/** heartbeat.sql schedules a call that the control plane answers. */
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { serveApi } from '../api/server.js'
import { appOver, CRON_KEY, testApi } from '../api/testing.js'

const { db, engine } = await testApi()

/** What the script calls of Supabase's extensions, with their own names and arguments; a request is kept instead of sent. */
const extensions = `
  create schema vault; create schema cron; create schema net;
  create table vault.decrypted_secrets (name text primary key, decrypted_secret text);
  create function vault.create_secret(new_secret text, new_name text default null, new_description text default '', new_key_id uuid default null)
    returns uuid language sql as $$ insert into vault.decrypted_secrets values (new_name, new_secret) returning gen_random_uuid() $$;
  create table cron.job (jobname text primary key, schedule text, command text);
  create function cron.schedule(job_name text, schedule text, command text) returns bigint
    language sql as $$ insert into cron.job values (job_name, schedule, command) returning 1::bigint $$;
  create table net.requests (url text, body jsonb, headers jsonb, timeout_milliseconds integer);
  create function net.http_post(url text, body jsonb default '{}', params jsonb default '{}',
      headers jsonb default '{"Content-Type": "application/json"}', timeout_milliseconds integer default 5000)
    returns bigint language sql as $$ insert into net.requests values (url, body, headers, timeout_milliseconds) returning 1::bigint $$;`

test('the job that heartbeat.sql schedules beats', async () => {
  const api = await serveApi({ app: appOver(engine), port: 0 })
  const script = await readFile(new URL('heartbeat.sql', import.meta.url), 'utf8')
  const blanks = [...new Set(script.match(/<[a-z-]+>/g))]
  expect(blanks).toEqual(['<cron-secret>', '<deployment>'])
  await db.sql.unsafe(extensions)
  await db.sql.unsafe(script.replace('<cron-secret>', CRON_KEY).replace('https://<deployment>', api.url))

  const [job] = await db.sql<{ schedule: string; command: string }[]>`select schedule, command from cron.job`
  expect(job?.schedule).toBe('*/5 * * * *')
  expect(job?.command).not.toContain(CRON_KEY)
  await db.sql.unsafe(job?.command ?? '')
  const [request] = await db.sql<
    { url: string; body: unknown; headers: Record<string, string>; timeout_milliseconds: number }[]
  >`select * from net.requests`
  const { url = '', body, headers, timeout_milliseconds } = request ?? {}
  expect(timeout_milliseconds).toBe(60_000)
  const answer = await fetch(url, { method: 'POST', headers: { ...headers }, body: JSON.stringify(body) })
  expect({ status: answer.status, report: await answer.json() }).toMatchObject({
    status: 200,
    report: { ok: true },
  })
  expect(await engine.listEvents({ type: 'heartbeat:success' })).toHaveLength(1)
  await api.close()
})

/** Workers of one version at work while the next migration is applied. */
import { cp, mkdtemp, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, inject, test } from 'vitest'
import { migrate } from '../../embedded/migrate.js'
import { migrationsDir } from '../../embedded/paths.js'
import { SCHEMA_VERSION } from '../../worker/presence.js'
import { Site } from './support/site.js'

/** What a next version does: a new column, and functions that do the same with other words. */
const next = (version: string, functions: string) => `
alter table public.ops_mission_steps add column next_thing text not null default 'none';
${functions}
insert into ops.migrations (version, name) values ('${version}', 'next');
`

test('old workers finish what they hold, record it, and stop with a clear message; new ones lose nothing', async () => {
  const site = await Site.open()
  const steps = await site.enqueue({ missions: 100, steps: 2, params: { ms: 400 }, max_retries: 100 })
  site.beating()
  const old = await Promise.all([1, 2].map(() => site.worker({ concurrency: 2 })))
  await site.executed('that they are at work', (all) => all.length > 4)

  const folder = await mkdtemp(join(inject('testDir'), 'next-'))
  await cp(migrationsDir, folder, { recursive: true })
  const version = String(SCHEMA_VERSION + 1).padStart(4, '0')
  const functions = await site.sql<{ text: string }[]>`
    select pg_get_functiondef(p.oid) || ';' as text from pg_proc p
    where p.proname in ('ops_claim_steps', 'ops_complete_steps', 'ready_due_steps', 'fail_attempts')`
  const text = functions
    .map((fn) => fn.text.replace(/\nbegin\n/i, '\nbegin\n  -- As of the next version.\n'))
    .join('\n')
  await writeFile(join(folder, `${version}_next.sql`), next(version, text))
  expect((await readdir(folder)).length).toBeGreaterThan(3)
  expect((await migrate(site.database.url, { folder })).applied).toEqual([`${version}_next.sql`])

  for (const worker of old) {
    expect(await worker.ended).toBe(1)
    expect(worker.output).toContain(`the database has schema ${SCHEMA_VERSION + 1}`)
    expect(worker.output).toContain('update the worker')
  }
  const { running = 0, succeeded = 0 } = await site.counts()
  expect(running).toBe(0)
  expect(succeeded).toBe(site.executions().length)
  const late = site.startWorker()
  expect(await late.ended).toBe(1)
  expect(late.output).toContain('update the worker')

  // The worker of the next version is ours, as far as this database can tell.
  await site.sql`delete from ops.migrations where version = ${version}`
  await site.worker({ concurrency: 50 })
  await site.drained()
  await site.expectOneSuccessEach(steps)
  expect(site.executions().length).toBe(steps)
})

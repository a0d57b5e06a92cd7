/** A database that crashes, drops its sessions, loses patience, or takes no more connections. */
import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { expect, test } from 'vitest'
import { adminUrlFor } from '../support/database.js'
import { onFileEnd } from '../support/fileEnd.js'
import { ownCluster } from './support/cluster.js'
import { scale } from './support/scale.js'
import { type OpenSite, Site } from './support/site.js'

function adminOf(site: OpenSite): postgres.Sql {
  const admin = postgres(adminUrlFor(site.database), { max: 1, onnotice: () => undefined })
  onFileEnd(() => admin.end({ timeout: 1 }))
  return admin
}

test('a database that crashes and restarts under load: nothing lost, nothing doubled', {
  timeout: scale({ short: 90_000, long: 600_000 }),
}, async () => {
  const cluster = await ownCluster()
  const site = await Site.on(cluster)
  const steps = await site.enqueue({
    ...scale({ short: { missions: 25, steps: 4 }, long: { missions: 1000, steps: 5 } }),
    params: { ms: 30 },
    max_retries: 100,
  })
  site.beating()
  const workers = await Promise.all([site.worker({ concurrency: 5 }), site.worker({ concurrency: 5 })])
  for (let crashes = 0; crashes < scale({ short: 2, long: 10 }); crashes++) {
    await sleep(scale({ short: 300, long: 2000 }))
    await cluster.crash()
  }
  await site.drained(scale({ short: 60_000, long: 300_000 }))
  await site.expectOneSuccessEach(steps)
  for (const worker of workers) expect(worker.isAlive).toBe(true)
})

test('calls that run into the statement timeout, and a connection limit that is reached: the worker waits', async () => {
  const site = await Site.open()
  const admin = adminOf(site)
  await admin.unsafe(
    `alter role test_worker in database "${site.database.name}" set statement_timeout = '200ms'`,
  )
  const [{ n: open } = { n: 0 }] = await admin<{ n: number }[]>`
    select count(*)::int as n from pg_stat_activity where datname = ${site.database.name}`
  await admin.unsafe(`alter database "${site.database.name}" connection limit ${open}`)
  const steps = await site.enqueue({ missions: 3, params: { ms: 100 } })
  const worker = site.startWorker()
  await worker.says('53300')
  await admin.unsafe(`alter database "${site.database.name}" connection limit -1`)
  await worker.says('ready for work')

  const holder = await site.sql.reserve()
  await holder`begin`
  await site.executed('that all steps have begun', (all) => all.length === steps)
  await holder`select from ops_missions for update`
  await worker.says('57014')
  await holder`rollback`
  holder.release()
  await site.drained()
  await site.expectOneSuccessEach(steps)
})

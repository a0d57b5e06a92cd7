/** Clocks that are wrong, time zones that differ, and days that are longer or shorter than others. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { propose } from '../../supabase/tests/proposals.js'
import { brokenInvariants, openDatabase, setPolicy, stopClock } from '../../supabase/tests/world.js'
import { Site } from './support/site.js'

const hook = fileURLToPath(new URL('support/shiftedClock.mjs', import.meta.url))
const HOUR_MS = 3_600_000

test('workers whose clocks are an hour off, either way, and in other time zones keep their leases and lose nothing', async () => {
  const site = await Site.open()
  await site.sql.unsafe(`alter database "${site.database.name}" set timezone = 'Pacific/Auckland'`)
  // Longer than a lease, so that each is renewed; and long enough for the thread that renews to start on a busy machine.
  await site.setLease(10)
  const steps = await site.enqueue({ missions: 4, params: { ms: 12_000 } })
  site.beating()
  const login = { DATABASE_URL: site.database.urlFor('ops_worker') }
  const nodeArgs = ['--import', hook]
  const workers = await Promise.all([
    site.worker({
      nodeArgs,
      concurrency: 2,
      env: { ...login, FAULTS_CLOCK_SHIFT: String(HOUR_MS), TZ: 'America/St_Johns' },
    }),
    site.worker({
      nodeArgs,
      concurrency: 2,
      env: { ...login, FAULTS_CLOCK_SHIFT: String(-HOUR_MS), TZ: 'Asia/Kathmandu' },
    }),
  ])
  await site.drained()
  await site.expectOneSuccessEach(steps)
  expect(new Set(site.executions().map(({ pid }) => pid)).size).toBe(2)
  // Nothing was taken away and done again.
  expect(site.executions().length).toBe(steps)
  for (const worker of workers) expect(await worker.end('SIGTERM')).toBe(0)
})

test.each([
  { day: 'an ordinary one', from: '2026-06-10T22:00:00Z', hours: 24 },
  { day: 'the one on which clocks go forward', from: '2026-03-28T23:00:00Z', hours: 23 },
  { day: 'the one on which clocks go back', from: '2026-10-24T22:00:00Z', hours: 25 },
])(
  "a day's cap holds from midnight to midnight of its zone: $day has $hours hours",
  async ({ from, hours }) => {
    const { sql } = await openDatabase()
    await setPolicy(sql, 'proposal_caps', { daily_limit: 2, time_zone: 'Europe/Berlin' })
    const clock = await stopClock(sql, from)
    const template = { title: 'capped', risk_level: 'low', steps: [{ kind: 'noop' }] }
    const statuses = async (n: number) => {
      const answers: string[] = []
      for (let i = 0; i < n; i++) answers.push((await propose(sql, template)).status)
      return answers
    }
    await clock.advance(-1)
    expect(await statuses(3)).toEqual(['auto_approved', 'auto_approved', 'rejected'])
    await clock.advance(1)
    expect(await statuses(3)).toEqual(['auto_approved', 'auto_approved', 'rejected'])
    await clock.advance(hours * 3600 - 1)
    expect(await statuses(1)).toEqual(['rejected'])
    await clock.advance(1)
    expect(await statuses(1)).toEqual(['auto_approved'])
    expect(await brokenInvariants(sql)).toEqual([])
  },
)

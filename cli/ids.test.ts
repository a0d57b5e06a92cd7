/** Parts of ids, among more rows than a page of them holds. */
import { beforeAll, expect, test, vi } from 'vitest'
import { testApi } from '../api/testing.js'
import { shortId } from '../embedded/shortId.js'
import { run } from './testing.js'

const { db, engine, propose, worker, policy } = await testApi()

/** What was shown by a list of its kind, and has grown old. */
let old: { step: string; mission: string; proposal: string; alert: string }

beforeAll(async () => {
  vi.stubEnv('DATABASE_URL', db.url)
  await policy('proposal_caps', { daily_limit: 1000 })
  const { mission_id } = await propose({ title: 'Dies', risk_level: 'low' })
  await worker.fail()
  const [step] = await engine.listSteps({ status: 'failed' })
  const { proposal_id } = await propose({ title: 'Waits', risk_level: 'high' })
  const [alert] = await db.sql<{ id: string }[]>`
    insert into ops.alerts (rule, severity, subject, summary, status, resolved_at, opened_at)
    select 'queued_steps', 'warning', n::text, 'test', case n when 0 then 'open' else 'resolved' end,
      case n when 0 then null else now() end, now() - make_interval(mins => 300 - n)
    from generate_series(0, 210) n returning id`
  old = { step: step?.id ?? '', mission: mission_id ?? '', proposal: proposal_id, alert: alert?.id ?? '' }
  const template = { title: 'Many', risk_level: 'low', steps: [{ kind: 'noop' }] } as const
  await engine.createProposals(Array.from({ length: 201 }, () => ({ source: 'api', template })))
})

test.each([
  ['a dead letter', 'step', ['steps', 'show']],
  ['a failed mission', 'mission', ['missions', 'show']],
  ['a pending proposal', 'proposal', ['proposals', 'show']],
  ['an open alert', 'alert', ['alerts', 'ack']],
  ['any of them', 'step', ['trace']],
] as const)(
  '%s that a list shows is found by what it shows, however many came after it',
  async (_, kind, command) => {
    const id = old[kind]
    const { exitCode, stdout, stderr } = await run(...command, shortId(id))
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
    expect(stdout).toContain(kind === 'step' && command[0] === 'trace' ? shortId(id) : id)
  },
)

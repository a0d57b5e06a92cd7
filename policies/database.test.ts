/** What these schemas let pass, the database takes too. */
import { describe, expect, it } from 'vitest'
import { connectEngine } from '../engine/index.js'
import { freshDatabase, urlFor } from '../test/support/database.js'
import { onFileEnd } from '../test/support/fileEnd.js'
import { parsePolicy } from './parse.js'
import { templateSchema } from './schemas/template.js'
import { pattern, template } from './testing.js'

const database = await freshDatabase()
const engine = connectEngine({ databaseUrl: urlFor(database, 'service_role') })
onFileEnd(() => engine.close())

const steps = (run_at: string) => template({}, { steps: [{ kind: 'noop', run_at }] })

describe('a time for a step to run at', () => {
  it.each([
    '2026-02-28T09:00:00Z',
    '2026-02-29T09:00:00Z',
    '2028-02-29 09:00+01',
    '2026-04-31T09:00:00Z',
    '2026-13-01T09:00:00Z',
    '2026-00-10T09:00:00Z',
    '0000-01-01T09:00:00Z',
    '0001-01-01T09:00:00Z',
    '0004-02-29T09:00:00Z',
    '2100-02-29T09:00:00Z',
    '2026-12-31T24:00:00Z',
    '2026-12-31T24:00:01Z',
    '2026-12-31T25:00:00Z',
    '2026-12-31T23:60:00Z',
    '2026-12-31T23:59:59.999999Z',
    '2026-12-31T23:59:60Z',
    '2026-12-31T23:59:61Z',
    '2026-12-31T09:00:00+15:59',
    '2026-12-31T09:00:00-1559',
    '2026-12-31T09:00:00+16',
    '2026-12-31T09:00:00+05:60',
  ])('%s: policy and gate are of one mind', async (run_at) => {
    const { code } = await engine.gateProposal({ title: 'Late', steps: [{ kind: 'noop', run_at }] })
    expect(templateSchema.safeParse(steps(run_at)).success).toBe(code !== 'OPS_004')
  })
})

describe('a pattern', () => {
  it('that the gate would never let through is out of service from the start', async () => {
    const parsed = parsePolicy('reaction_matrix', { patterns: [pattern({ proposal_source: 'canary' })] })
    const [answer] = await engine.createProposals([
      { source: 'canary', template: { title: 'Do it', steps: [{ kind: 'noop' }] } },
    ])
    expect(answer).toMatchObject({ status: 'invalid', code: 'OPS_011' })
    expect(parsed).toEqual({
      ok: false,
      problems: [
        { path: 'patterns[0].proposal_source', message: '"canary" belongs to the engine’s own canary' },
      ],
    })
  })
})

describe('a schedule', () => {
  it.each(['app:tick', 'heartbeat:tick', 'mission:tick', 'step:x', 'proposal:x', 'canary:x', 'service:x'])(
    'of %s passes here as it passes there',
    async (type) => {
      const value = { schedules: [{ id: 'tick', cron: '0 9 * * *', event: { type } }] }
      const taken = await engine.applyPolicies([{ key: 'schedules', value }]).then(
        () => true,
        () => false,
      )
      expect(parsePolicy('schedules', value).ok).toBe(taken)
    },
  )
})

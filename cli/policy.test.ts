/** `ops-loop policy …`: from files to rows and back, and trying before releasing. */
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { triggerReactions } from '../api/trigger.js'
import { connectEngine, type Engine } from '../engine/index.js'
import { defaultPolicies } from '../policies/index.js'
import { pattern } from '../policies/testing.js'
import { freshDatabase, urlFor } from '../test/support/database.js'
import { answer, run } from './testing.js'

const database = await freshDatabase()
const defaults = fileURLToPath(new URL('../policies/default', import.meta.url))
let engine: Engine
let folder: string

beforeAll(async () => {
  engine = connectEngine({ databaseUrl: urlFor(database, 'service_role') })
  folder = await mkdtemp(join(tmpdir(), 'ops-loop-policy-'))
  vi.stubEnv('DATABASE_URL', urlFor(database, 'ops_operator'))
  vi.stubEnv('OPS_ACTOR', 'ada')
})
afterAll(() => engine.close())

async function file(name: string, value: unknown): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, typeof value === 'string' ? value : JSON.stringify(value))
  return path
}

const versionOf = async (key: string) => (await engine.policies([key]))[0]?.version
const inForce = async (key: string) => (await engine.policies([key]))[0]?.value

describe('policy validate', () => {
  test('accepts the default policies, without a database', async () => {
    vi.stubEnv('DATABASE_URL', 'postgres://nobody@127.0.0.1:1/none')
    const { exitCode, stdout } = await run('policy', 'validate', defaults)
    vi.stubEnv('DATABASE_URL', urlFor(database, 'ops_operator'))
    expect(exitCode).toBe(0)
    expect(stdout.trim().split('\n')).toHaveLength(Object.keys(defaultPolicies).length)
  })

  test('tells all that is wrong, with file, path and advice', async () => {
    const control = await file('control.json', { max_dept: 3, pause: { intake: 'no' } })
    const matrix = await file('reaction_matrix.json', { patterns: [pattern({ when: 'event.data.x >' })] })
    const { exitCode, stderr } = await run('policy', 'validate', control, matrix, '--json')
    expect(exitCode).toBe(1)
    expect(JSON.parse(stderr)).toMatchObject({
      code: 'OPS_011',
      details: {
        problems: [
          { file: control, path: 'pause.intake', message: 'must be boolean, received string' },
          { file: control, path: 'max_dept', message: 'is unknown; did you mean "max_depth"?' },
          { file: matrix, path: 'patterns[0].when' },
        ],
      },
    })
  })

  test.each([
    ['no JSON', 'control.json', '{', /control\.json is not JSON: /],
    [
      'a number that would become null',
      'control.json',
      '{"max_depth": 1e400}',
      /control\.json: max_depth is beyond what/,
    ],
    ['no policy', 'contol.json', '{}', /there is no policy "contol"; did you mean "control"\?/],
    ['no object', 'control.json', '[]', /must be object/],
  ])('%s', async (_name, name, text, problem) => {
    const { exitCode, stderr } = await run('policy', 'validate', await file(name, text))
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(problem)
  })

  test('a file that is not there, a policy that is there twice', async () => {
    expect((await run('policy', 'validate', 'nowhere.json')).stderr).toContain('Cannot read nowhere.json')
    const twice = await file('other.json', {})
    const both = await run('policy', 'validate', `control=${twice}`, await file('control.json', {}))
    expect(both.stderr).toMatch(/control\.json: holds policy "control", as .*other\.json does/)
  })
})

describe('policy diff and apply', () => {
  test('the defaults are what is in force', async () => {
    const compared = await answer('policy', 'diff', defaults)
    expect(compared).toHaveLength(Object.keys(defaultPolicies).length)
    expect(compared).not.toContainEqual(expect.objectContaining({ changed: true }))
    expect((await run('policy', 'diff', `control=${defaults}/control.json`)).stdout).toBe(
      'control (version 1): no difference\n',
    )
  })

  test('shows what changes, puts it in force and records who', async () => {
    const caps = await file('proposal_caps.json', { daily_limit: 7, per_source: { 'github-issues': 3 } })
    const { stdout } = await run('policy', 'apply', caps, '--as', 'grace')
    const [title, ...lines] = stdout.trimEnd().split('\n')
    expect(title).toBe('proposal_caps (version 1)')
    expect(lines.pop()).toBe('  changed: version 2 is in force')
    expect(lines.sort()).toEqual([
      '  - per_agent: {}',
      '  - per_pattern: {}',
      '  - per_step_kind: {}',
      '  - time_zone: UTC',
      '  ~ daily_limit: 200 → 7',
    ])
    expect(await answer('policy', 'history', 'proposal_caps', '--limit', '1')).toMatchObject([
      {
        version: 2,
        action: 'update',
        changed_by: expect.stringMatching(/^grace \(.+\)$/),
        actor: { as: 'grace' },
      },
    ])
    expect((await run('policy', 'apply', caps)).stdout).toBe('proposal_caps (version 2): no difference\n')
    expect(await versionOf('proposal_caps')).toBe(2)
  })

  test('changes nothing when one of several is refused', async () => {
    const good = await file('approvals.json', { expires_minutes: 3 })
    const bad = await file('control.json', { max_depth: -1 })
    const { exitCode, stderr } = await run('policy', 'apply', good, bad)
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(/control\.json: max_depth must be at least 0/)
    expect(await inForce('approvals')).toEqual({ expires_minutes: 1440 })
  })

  test("says in Postgres' own words what only Postgres refuses", async () => {
    // A zone that Node knows and this Postgres does not.
    await database.sql.unsafe(`
      create or replace function ops.is_time_zone(p_name text) returns boolean language plpgsql as
      $$ begin return p_name <> 'Europe/Berlin'; end $$`)
    const caps = await file('proposal_caps.json', { time_zone: 'Europe/Berlin' })
    const { exitCode, stderr } = await run('policy', 'apply', caps)
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr:
        'error: policy proposal_caps: time_zone is not a known time zone (OPS_011)\n  nothing was changed; see docs/policies.md for the fields of each policy\n',
    })
  })

  test('only over the version that was seen', async () => {
    const roles = await file('agent_roles.json', { triage: { instructions: 'Look.' } })
    const refused = await run('policy', 'apply', roles, '--if-version', '9', '--json')
    expect(refused.exitCode).toBe(1)
    expect(JSON.parse(refused.stderr)).toMatchObject({ code: 'OPS_014', details: { version: 1 } })
    expect(await answer('policy', 'apply', roles, '--if-version', '1')).toMatchObject([
      { key: 'agent_roles', outcome: 'changed', previous_version: 1, version: 2 },
    ])
    const other = await file('control.json', {})
    expect((await run('policy', 'apply', roles, other, '--if-version', '1')).exitCode).toBe(2)
  })
})

describe('policy rollback', () => {
  test('puts an earlier version in force, by name', async () => {
    const { stdout } = await run('policy', 'rollback', 'agent_roles', '1')
    expect(stdout).toBe('agent_roles is as in version 1 again: version 3\n')
    expect(await inForce('agent_roles')).toEqual(defaultPolicies.agent_roles)
    expect(await run('policy', 'history', 'agent_role')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('There never was a policy agent_role.'),
    })
    expect((await run('policy', 'history', 'agent_roles')).stdout).toMatch(/agent_roles +3 +rollback +ada \(/)
    expect((await run('policy', 'rollback', 'agent_roles', '99')).stderr).toContain('OPS_013')
  })
})

describe('policy delete', () => {
  test('takes a policy out of force, by name, and says how to bring it back', async () => {
    const version = (await versionOf('agent_roles')) ?? 0
    const { stdout } = await run('policy', 'delete', 'agent_roles')
    const back = ['policy', 'rollback', 'agent_roles', String(version)]
    expect(stdout).toBe(`agent_roles is gone: ops-loop ${back.join(' ')} brings it back\n`)
    expect(await versionOf('agent_roles')).toBeUndefined()
    expect((await run('policy', 'history', 'agent_roles')).stdout).toMatch(/agent_roles .*delete +ada \(/)
    expect((await run('policy', 'delete', 'agent_roles')).stderr).toContain('OPS_013')
    expect((await run(...back)).exitCode).toBe(0)
    expect(await versionOf('agent_roles')).toBe(version + 1)
  })
})

describe('policy export', () => {
  test('gives back the very files that were applied', async () => {
    await answer('policy', 'apply', defaults)
    const out = await mkdtemp(join(tmpdir(), 'ops-loop-export-'))
    await answer('policy', 'export', '--dir', out)
    const names = await readdir(defaults)
    expect((await readdir(out)).sort()).toEqual(names.sort())
    for (const name of names)
      expect(await readFile(join(out, name), 'utf8')).toBe(await readFile(join(defaults, name), 'utf8'))
    expect(await answer('policy', 'diff', out)).not.toContainEqual(expect.objectContaining({ changed: true }))
  })

  test('one policy to stdout', async () => {
    const text = await readFile(join(defaults, 'control.json'), 'utf8')
    expect((await run('policy', 'export', 'control')).stdout).toBe(text)
    expect((await run('policy', 'export', 'controls')).stderr).toMatch(/no policy "controls" in force/)
    expect((await run('policy', 'export')).exitCode).toBe(2)
  })
})

describe('policy test', () => {
  test('tells pattern by pattern what a file would do, and what the gate would say', async () => {
    const event = await file('event.json', {
      type: 'github:issues.opened',
      data: {
        source: 'github',
        issue: { number: 7, title: 'It broke', user: { login: 'a' }, labels: [], body: 'x', html_url: 'u' },
        repository: { full_name: 'o/r' },
      },
    })
    const told = await answer('policy', 'test', event)
    expect(told).toMatchObject({ event: { type: 'github:issues.opened', depth: 0 }, quarantined: [] })
    expect(told).toHaveProperty('patterns.length', Object(defaultPolicies.reaction_matrix.patterns).length)
    expect(told).toHaveProperty(
      'patterns',
      expect.arrayContaining([
        expect.objectContaining({
          pattern_id: 'new-release',
          decision: 'not_matched',
          detail: expect.objectContaining({ condition: 'event_type' }),
        }),
        expect.objectContaining({
          pattern_id: 'new-issue',
          decision: 'matched',
          gate: expect.objectContaining({ code: 'auto_approved' }),
        }),
      ]),
    )
    const { stdout } = await run('policy', 'test', event)
    expect(stdout).toMatch(/new-issue would propose\ntitle +Triage issue #7: It broke/)
  })

  test('takes bare data, candidates and recorded events', async () => {
    const data = await file('data.json', { size: 5 })
    const matrix = await file('reaction_matrix.json', {
      patterns: [pattern({ when: 'event.data.size > 3' })],
    })
    expect(await answer('policy', 'test', data, '--type', 'app:done', matrix)).toMatchObject({
      patterns: [{ pattern_id: 'p', decision: 'matched' }],
    })
    const [event] = await engine.emitEvents([{ type: 'app:done', data: { size: 1 } }])
    await triggerReactions(engine, 100)
    const id = event?.event_id ?? ''
    expect(await answer('policy', 'test', id.slice(-8), matrix)).toMatchObject({
      event: { id },
      patterns: [{ decision: 'not_matched', recorded: 'not decided', detail: { condition: 'when' } }],
    })
  })

  test.each([
    ['no type', { data: {} }, /has no "type"; if it holds data alone, give --type/],
    ['no object', [], /is not a JSON object/],
    ['no time', { type: 'a', created_at: 'noon' }, /"created_at" that is no time/],
  ])('%s', async (_name, value, problem) => {
    const { exitCode, stderr } = await run('policy', 'test', await file('wrong.json', value))
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(problem)
  })
})

describe('policy simulate', () => {
  test('replays recorded events under a candidate, without touching the database', async () => {
    const template = { title: 'Do {{event.data.n}}', steps: [{ kind: 'noop' }] }
    const now = {
      patterns: [pattern({ id: 'some', event_type: 'sim:*', when: 'event.data.n > 1', template })],
    }
    await database.sql`update ops_policy set value = ${JSON.stringify(now)}::text::jsonb where key = 'reaction_matrix'`
    await engine.emitEvents([1, 2, 3].map((n) => ({ type: 'sim:done', data: { n } })))
    await triggerReactions(engine, 100)
    await engine.runReactions(100)
    await engine.recordHeartbeat(true, {})
    const counts = () => database.sql`
      select (select count(*) from ops_agent_events) as events, (select count(*) from ops_mission_proposals) as proposals,
        (select max(version) from ops_policy) as version, (select count(*) from ops_policy_audit) as audits`
    const before = await counts()

    const saved = join(folder, 'day.ndjson')
    const same = await answer('policy', 'simulate', '--since', '1h', '--save', saved)
    expect(same).toMatchObject({ same: true, differences: [], was: { reactions: 2, proposals: 2 } })

    const candidate = await file('reaction_matrix.json', {
      patterns: [pattern({ id: 'some', event_type: 'sim:*', template })],
    })
    const caps = await file('proposal_caps.json', { per_pattern: { some: 2 } })
    expect(await answer('policy', 'simulate', candidate, caps, '--recording', saved)).toMatchObject({
      same: false,
      tried: ['reaction_matrix', 'proposal_caps'],
      was: { reactions: 2, auto_approved: 2, turned_away: {} },
      would_be: { reactions: 3, auto_approved: 2, turned_away: { 'cap_pattern some': 1 } },
    })
    expect(await counts()).toEqual(before)
  }, 240_000)

  test('plays plain events from a file under the default policies', async () => {
    const events = await file(
      'events.ndjson',
      '{"type": "plain:done", "created_at": "2026-01-01T09:00:00Z"}\n\n{"type": "plain:done", "created_at": "2026-01-01T10:00:00+01:00"}\n{"type": "plain:done", "created_at": "2026-01-01T10:00:00Z"}\n',
    )
    const matrix = await file('reaction_matrix.json', {
      patterns: [pattern({ event_type: 'plain:*', dedupe_key: 'one' })],
    })
    const { stdout } = await run('policy', 'simulate', matrix, '--recording', events)
    expect(stdout).toMatch(/reactions +0 +2\n/)
    expect(stdout).toMatch(/auto approved +0 +2\n/)
    expect(stdout).toMatch(/held back: dedupe +0 +1\n/)
    expect(stdout).toMatch(/plain:done +p +proposal +none +auto_approved, mission succeeded\n/)
  }, 240_000)

  test.each([
    ['a line that is no JSON', '{"type": "a"}\n{', /line 2 is not JSON/],
    ['a line that is no event', '{"kind": "event", "data": {}}', /line 1 is no recorded line: type/],
  ])('%s', async (_name, text, problem) => {
    const { exitCode, stderr } = await run(
      'policy',
      'simulate',
      '--recording',
      await file('bad.ndjson', text),
    )
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(problem)
  })

  test.each([
    ['--since', 'yesterday'],
    ['--since', '0d'],
    ['--since', '2999-01-01'],
  ])('%s %s is wrong usage', async (...args) => {
    expect((await run('policy', 'simulate', ...args)).exitCode).toBe(2)
  })
})

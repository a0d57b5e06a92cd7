import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { connectEngine, type Engine } from '../engine/index.js'
import { freshDatabase, urlFor } from '../test/support/database.js'
import { answer, run } from './testing.js'

const database = await freshDatabase()
let engine: Engine

beforeAll(() => {
  engine = connectEngine({ databaseUrl: urlFor(database, 'service_role') })
  // Operators' commands need no more than an operator's rights.
  vi.stubEnv('DATABASE_URL', urlFor(database, 'ops_operator'))
  vi.stubEnv('OPS_ACTOR', 'ada')
})
afterAll(() => engine.close())

async function propose(risk_level: 'low' | 'high', title = 'A mission'): Promise<string> {
  const steps = [
    { key: 'first', kind: 'noop', max_retries: 0 },
    { key: 'second', kind: 'noop' },
  ]
  const { proposal_id } = await engine.createProposal({
    source: 'api',
    template: { title, risk_level, steps },
  })
  return proposal_id
}

async function missionOf(proposal_id: string): Promise<string> {
  const missions = await engine.listMissions({}, 200)
  return missions.find((mission) => mission.proposal_id === proposal_id)?.id ?? ''
}

/** Has a worker fail the first step of a new mission for good. */
async function deadStep(): Promise<string> {
  await propose('low')
  const { worker_id } = await engine.registerWorker({
    name: 'test',
    version: '0',
    executors: ['noop'],
    concurrency: 1,
    schema_version: 99,
  })
  const [step] = await engine.claimSteps({ worker_id, executors: ['noop'], limit: 1 })
  if (step === undefined) throw new Error('nothing to claim')
  await engine.failSteps([{ step_id: step.step_id, token: step.token, error: 'it broke', permanent: true }])
  return step.step_id
}

describe('usage', () => {
  test.each([
    ['no command', []],
    ['no subcommand', ['proposals']],
    ['an unknown command', ['frobnicate']],
    ['an unknown option', ['status', '--frobnicate']],
    ['a missing argument', ['trace']],
    ['an id that cannot be one', ['trace', 'xyz!']],
    ['a status that there is not', ['proposals', 'list', '--status', 'maybe']],
    ['a limit out of range', ['proposals', 'list', '--limit', '0']],
    ['data that is no JSON object', ['events', 'emit', 'a:b', '--data', '[1]']],
  ])('%s ends with 2 and says why', async (_, args) => {
    const { exitCode, stdout, stderr } = await run(...args)
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
    expect(stderr).not.toBe('')
  })

  test('help is no mistake, and shows examples', async () => {
    expect(await run('proposals', '--help')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/Examples:\n {2}ops-loop proposals/),
    })
  })

  test('with --json a usage error is JSON too', async () => {
    const { exitCode, stderr } = await run('frobnicate', '--json')
    expect(exitCode).toBe(2)
    expect(JSON.parse(stderr)).toEqual({
      error: "unknown command 'frobnicate'",
      code: 'OPS_011',
      details: {},
    })
  })

  test.each([[[]], [['proposals']]])(
    'with --json a missing command is JSON and nothing else: %j',
    async (args) => {
      const { exitCode, stdout, stderr } = await run(...args, '--json')
      expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
      expect(JSON.parse(stderr)).toEqual({
        error: 'no command was given',
        code: 'OPS_011',
        details: { hint: 'Add --help for the commands that there are.' },
      })
    },
  )
})

describe('errors', () => {
  test('a sentence, a code and no stack', async () => {
    const id = '00000000-0000-4000-8000-000000000000'
    const { exitCode, stderr } = await run('missions', 'show', id)
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr: `error: There is no mission ${id}. (OPS_013)\n`,
    })
  })

  test('a database that is away', async () => {
    vi.stubEnv('DATABASE_URL', 'postgres://ada:secret@127.0.0.1:1/postgres')
    const { exitCode, stderr } = await run('status')
    vi.stubEnv('DATABASE_URL', urlFor(database, 'ops_operator'))
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(/^error: The database cannot be reached \(ECONNREFUSED\).*DATABASE_URL/)
    expect(stderr).not.toContain('secret')
  })

  test('no database at all: what to do', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ops-loop-none-'))
    const { exitCode, stderr } = await run('status', '--data-dir', folder)
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(/No npm start is running on .*\n {2}Run npm start -- --data-dir/)
  })
})

describe('invariants run', () => {
  test('runs nothing when one of the checks is none, and says which', async () => {
    const { exitCode, stdout, stderr } = await run('invariants', 'run', 'order', 'ordre')
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' })
    expect(stderr).toMatch(/^error: No check "ordre" is in force\..*\n {2}See ops-loop invariants list/)
  })
})

describe('events emit', () => {
  test('stores an event, once for each dedupe key', async () => {
    const emit = [
      'events',
      'emit',
      'deploy:finished',
      '--data',
      '{"service":"shop"}',
      '--dedupe-key',
      'deploy-1',
    ]
    expect(await answer(...emit)).toMatchObject({ outcome: 'accepted' })
    expect(await answer(...emit)).toMatchObject({ outcome: 'duplicate' })
    const other = ['events', 'emit', 'deploy:failed', '--dedupe-key', 'deploy-1', '--json']
    const { exitCode, stderr } = await run(...other)
    expect(exitCode).toBe(1)
    expect(JSON.parse(stderr)).toMatchObject({ code: 'OPS_014' })
  })

  test('takes its data from a file', async () => {
    const file = join(await mkdtemp(join(tmpdir(), 'ops-loop-data-')), 'event.json')
    await writeFile(file, '{"service":"from a file"}')
    await answer('events', 'emit', 'deploy:read', '--data', `@${file}`)
    expect(await answer('events', 'list', '--type', 'deploy:read')).toMatchObject([
      { data: { service: 'from a file' } },
    ])
    expect(await run('events', 'emit', 'deploy:read', '--data', '@nowhere.json')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('Cannot read nowhere.json'),
    })
  })

  test.each([
    ['[1]', 'error: --data is not a JSON object'],
    ['{', 'error: --data is not a JSON object'],
    ['{"n": [1e400]}', 'error: n[0] of --data is beyond what a JSON number can hold here: give it as text'],
  ])('with %s for data are refused', async (data, message) => {
    expect(await run('events', 'emit', 'deploy:odd', '--data', data)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining(message),
    })
  })

  test('are shown with their data, and listed without what the loop does to watch itself', async () => {
    const emitted = await run(
      'events',
      'emit',
      'deploy:shown',
      '--data',
      '{"service": "shop", "tags": ["a"]}',
    )
    const id = /event (\S+) stored/.exec(emitted.stdout)?.[1] ?? ''
    expect((await run('events', 'show', id.slice(-6))).stdout).toMatch(
      /^type +deploy:shown$[\s\S]*^data +\{\n +"tags": \["a"\],\n +"service": "shop"\n +\}$/m,
    )
    await engine.recordHeartbeat(true, {})
    await database.sql`insert into ops_agent_events (type, data) values ('canary:ping', '{"source": "canary"}')`
    const listed = async (...options: string[]) => (await run('events', 'list', ...options)).stdout
    expect(await listed()).toContain('deploy:shown')
    expect(await listed()).not.toMatch(/heartbeat|canary/)
    expect(await listed('--all')).toMatch(/canary:ping[\s\S]*heartbeat:success/)
    expect(await listed('--type', 'heartbeat:success')).toMatch(/heartbeat:success/)
  })

  test('why says that an event waits for the heartbeat', async () => {
    const emitted = await run('events', 'emit', 'deploy:waiting')
    const id = /event (\S+) stored/.exec(emitted.stdout)?.[1] ?? ''
    expect((await run('why', id.slice(-6))).stdout).toMatch(/waits for the next heartbeat/)
  })
})

describe('proposals', () => {
  test('are listed, shown and approved by the end of their id', async () => {
    const id = await propose('high', 'Needs a person')
    expect((await run('proposals', 'list', '--status', 'pending')).stdout).toMatch(/Needs a person/)
    expect((await run('proposals', 'show', id.slice(-6))).stdout).toMatch(
      /^status +pending[\s\S]*first {2}noop/m,
    )

    const approved = await run('proposals', 'approve', id.slice(-6), '--note', 'looks right')
    expect(approved).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(await missionOf(id)) })
    expect(await answer('proposals', 'show', id)).toMatchObject({ status: 'approved', decided_by: 'ada' })
    expect(await run('proposals', 'approve', id)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('OPS_009'),
    })
  })

  test('are shown as they would run, whole, and steer no terminal', async () => {
    const order = `${'x'.repeat(500)} to the end`
    const title = 'Ship \x1b]0;it\x07\nstatus  approved'
    const { proposal_id } = await engine.createProposal({
      source: 'test',
      template: {
        title,
        risk_level: 'high',
        steps: [{ kind: 'noop', executor: 'noop', params: { order, as: '\u202edloG' } }],
      },
    })
    const { stdout } = await run('proposals', 'show', proposal_id ?? '')
    expect(stdout).toContain(order)
    expect(stdout).toMatch(/^ {2}executor {2}noop$/m)
    expect(stdout).toContain('Ship ␛]0;it␇\n         status  approved')
    expect(stdout).toContain('"�dloG"')
    expect((await run('proposals', 'list')).stdout).toContain('Ship ␛]0;it␇ status approved')
    expect(await answer('proposals', 'show', proposal_id ?? '')).toMatchObject({ title })
    await run('proposals', 'reject', proposal_id ?? '')
  })

  test('are rejected by whom --as names', async () => {
    const id = await propose('high')
    expect(await answer('proposals', 'reject', id, '--as', 'grace', '--note', 'not now')).toMatchObject({
      status: 'rejected',
    })
    expect(await answer('proposals', 'show', id)).toMatchObject({ decided_by: 'grace', reason: 'not now' })
  })

  test('approving without room under a cap fails and leaves it pending', async () => {
    const id = await propose('high')
    const caps = { daily_limit: 0 }
    await database.sql`update ops_policy set value = ${database.sql.json(caps)} where key = 'proposal_caps'`
    const { exitCode, stderr } = await run('proposals', 'approve', id)
    await database.sql`update ops_policy set value = '{}' where key = 'proposal_caps'`
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr: expect.stringMatching(/It stays pending: daily limit: .*\(OPS_003\)/),
    })
  })

  test('a part that several ids share is refused', async () => {
    await propose('high')
    const { exitCode, stderr } = await run('proposals', 'show', '01')
    expect(exitCode).toBe(2)
    const shared = await run('proposals', 'show', (await propose('high')).slice(0, 5))
    expect(shared).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/may be any of \d+ ids/) })
    expect(stderr).toMatch(/at least four characters/)
  })
})

describe('missions and steps', () => {
  test('a mission is shown with its steps, and cancelled', async () => {
    const id = await missionOf(await propose('low', 'To be cancelled'))
    expect((await run('missions', 'show', id)).stdout).toMatch(/To be cancelled[\s\S]*first +noop +queued/)
    expect(await answer('missions', 'cancel', id.slice(-6), '--reason', 'no need')).toMatchObject({
      status: 'cancelled',
      cancelled_steps: 2,
    })
    expect((await run('missions', 'list', '--status', 'cancelled')).stdout).toMatch(/To be cancelled/)
  })

  test('a step is cancelled', async () => {
    const id = await missionOf(await propose('low'))
    const [step] = await engine.listSteps({ mission_id: id })
    expect(await answer('steps', 'cancel', step?.id ?? '')).toMatchObject({ status: 'cancelled' })
    await engine.cancelMission(id, { actor: 'test' })
  })

  test('a dead step is listed, and put to work again', async () => {
    expect((await run('dead', 'list')).stdout).toBe('No dead letters\n')
    const id = await deadStep()
    expect((await run('steps', 'show', id.slice(-6))).stdout).toMatch(
      /^status +failed$[\s\S]*^failures +1 of 0$[\s\S]*^error +it broke$[\s\S]*^params +\{\}$/m,
    )
    expect((await run('dead', 'list')).stdout).toMatch(/first +noop .* it broke/)
    expect(await answer('steps', 'retry', id.slice(-6))).toMatchObject({
      status: 'queued',
      reopened_steps: 1,
    })
    expect(await answer('dead', 'list')).toEqual([])
  })

  test('dead steps are put to work again by kind', async () => {
    await deadStep()
    expect((await run('dead', 'retry', '--kind', 'http')).stdout).toBe('0 steps queued again\n')
    expect((await run('dead', 'retry', '--kind', 'noop')).stdout).toBe('1 step queued again\n')
  })
})

test('all dead steps are put to work again, batch by batch', async () => {
  await deadStep()
  await deadStep()
  await deadStep()
  const { isTTY } = process.stderr
  // Somebody looks on, and sees how far it has come.
  process.stderr.isTTY = true
  const { stdout, stderr } = await run('dead', 'retry', '--all', '--limit', '2')
  process.stderr.isTTY = isTTY
  expect({ stdout, stderr }).toEqual({
    stdout: '3 steps queued again\n',
    stderr: '2 steps queued again …\n3 steps queued again …\n',
  })
  expect(await answer('dead', 'list')).toEqual([])
})

test('files may begin with the byte order mark that editors of Windows put there', async () => {
  const folder = await mkdtemp(join(inject('testDir'), 'bom-'))
  const [data, control] = [join(folder, 'data.json'), join(folder, 'control.json')]
  await writeFile(data, '\ufeff{"a": 1}\r\n')
  await writeFile(control, '\ufeff{}\r\n')
  expect(await answer('events', 'emit', 'app:began', '--data', `@${data}`)).toMatchObject({
    outcome: 'accepted',
  })
  expect(await answer('policy', 'validate', control)).toMatchObject({ valid: true })
})

test('a stack of somebody else: who may ask it', async () => {
  const folder = await mkdtemp(join(inject('testDir'), 'other-'))
  // A folder in the place of the file: what may not be read, also by root.
  await mkdir(join(folder, 'env'))
  expect(await run('--data-dir', folder, 'status')).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/cannot be read: EISDIR.*\(OPS_001\)\n {2}Run as the user who started it/),
  })
})

test('a mistyped command and option are recognised', async () => {
  expect((await run('propsals')).stderr).toContain('Did you mean proposals?')
  expect((await run('worker', '--concurency', '2')).stderr).toContain('Did you mean --concurrency?')
})

test('trace shows the chain from any of its ids', async () => {
  const proposal = await propose('low', 'Traced')
  const mission = await missionOf(proposal)
  for (const id of [proposal, mission, mission.slice(-6)]) {
    expect((await run('trace', id)).stdout).toMatch(
      /proposal Traced[\s\S]* {2}mission Traced[\s\S]* {4}step first \(noop\)/,
    )
  }
})

test('status tells the queues', async () => {
  expect((await run('status')).stdout).toMatch(/^status +healthy\n[\s\S]*steps queued +\d+/)
  expect(await answer('status')).toMatchObject({ database: 'connected', queues: { reactions: 0 } })
})

test('migrate needs a database URL, and does nothing on a migrated database', async () => {
  vi.stubEnv('DATABASE_URL', database.url)
  expect((await run('migrate')).stdout).toMatch(/Nothing to do/)
  expect(await answer('migrate', '--seed')).toEqual({ applied: [], recorded: [], seeded: true })
  vi.stubEnv('DATABASE_URL', '')
  vi.stubEnv('SUPABASE_URL', 'http://127.0.0.1:1')
  expect(await run('migrate')).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/need DATABASE_URL/),
  })
  vi.stubEnv('DATABASE_URL', urlFor(database, 'ops_operator'))
})

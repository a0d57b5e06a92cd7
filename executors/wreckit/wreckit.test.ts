import { beforeAll, describe, expect, it } from 'vitest'
import { onPath, type StandIn } from '../../test/stand-ins/on-path.js'
import type { RunContext } from '../define.js'
import { defaultPolicy, runExecutor } from '../testing.js'
import wreckit from './index.js'

let standIn: StandIn
beforeAll(async () => {
  standIn = await onPath('wreckit')
})

const anything = {
  ...defaultPolicy,
  allowed_wreckit_commands: ['ideas', 'status', 'list', 'show', 'run', 'implement', 'doctor', 'next', 'pr'],
}
const run = async (params: object, overrides: Partial<RunContext> = {}) => {
  const context = { env: { PATH: standIn.PATH }, policy: anything, ...overrides }
  return (await runExecutor(wreckit, { cwd: standIn.folder, ...params }, context)).outcome
}
const lastCall = async () => (await standIn.calls()).at(-1)

describe('wreckit', () => {
  it('tells its status as JSON', async () => {
    expect(await run({ command: 'status' })).toMatchObject({
      outcome: 'done',
      result: { schema_version: 1, items: [{ id: '1', state: 'planned', title: 'CSV export' }] },
      meta: { exit_code: 0 },
    })
    expect((await lastCall())?.argv).toEqual(['status', '--json', '--no-tui', '--cwd', standIn.folder])
  })

  it('shows an item', async () => {
    expect(await run({ command: 'show', id: '7' })).toMatchObject({ outcome: 'done', result: { id: '7' } })
  })

  it('may tell what no database can store', async () => {
    expect(await run({ command: 'show', id: 'odd' })).toMatchObject({ result: { title: 'a\uFFFDb' } })
  })

  it('takes ideas in as text', async () => {
    expect(await run({ command: 'ideas', ideas: 'export; $(rm)' })).toMatchObject({
      outcome: 'done',
      result: { stdout: 'ingested: export; $(rm)\n' },
    })
  })

  it('works on an item, with what was asked for and nothing else', async () => {
    await run({ command: 'implement', id: 'features/001-csv', force: true, agent: 'scout', parallel: 2 })
    const { argv, env } = (await lastCall()) ?? { argv: [], env: [] }
    expect(argv).toEqual([
      'implement',
      'features/001-csv',
      '--force',
      '--no-tui',
      '--parallel',
      '2',
      '--agent',
      'scout',
      '--cwd',
      standIn.folder,
    ])
    expect(env.filter((name) => name !== '__CF_USER_TEXT_ENCODING')).toEqual(['PATH'])
  })

  it('only says what it would do on a dry run', async () => {
    expect(await run({ command: 'run', id: '1', dry_run: true })).toMatchObject({
      outcome: 'done',
      result: { dry_run: true, stdout: 'would run 1\n' },
    })
  })

  it.each([
    ['broken', { outcome: 'retry', error: 'exit code 1: Error: tests fail', meta: { exit_code: 1 } }],
    ['interrupted', { outcome: 'retry', error: 'interrupted: Interrupted', meta: { exit_code: 130 } }],
  ])('that fails is tried again: %s', async (id, outcome) => {
    expect(await run({ command: 'implement', id })).toMatchObject(outcome)
  })

  it('whose answer cannot be read fails for good', async () => {
    expect(await run({ command: 'show', id: 'garbled' })).toMatchObject({
      outcome: 'fail',
      error: expect.stringContaining('no JSON'),
    })
    const env = { PATH: standIn.PATH, HOME: '/future' }
    expect(await run({ command: 'list' }, { env })).toMatchObject({
      outcome: 'fail',
      error: expect.stringContaining('format 2'),
    })
  })

  it('runs only commands that policy names; by default none that changes code', async () => {
    for (const command of ['run', 'implement', 'pr', 'complete', 'rollback']) {
      const outcome = await run({ command, id: '1' }, { policy: defaultPolicy })
      expect(outcome).toMatchObject({ outcome: 'fail', meta: { code: 'OPS_012' } })
    }
    expect(await run({ command: 'status' }, { policy: defaultPolicy })).toMatchObject({ outcome: 'done' })
  })

  it('is ended at the signal', async () => {
    const stop = new AbortController()
    const ended = run({ command: 'implement', id: 'hang' }, { signal: stop.signal })
    await expect.poll(async () => (await lastCall())?.argv[1]).toBe('hang')
    stop.abort(new Error('timed out'))
    await expect(ended).rejects.toThrow('timed out')
  })

  it('that is not there fails for good', async () => {
    expect(await run({ command: 'status' }, { env: { PATH: '/nowhere' } })).toMatchObject({
      outcome: 'fail',
      error: expect.stringContaining('not in its PATH'),
    })
  })

  it.each([
    [{ command: 'rm' }, 'params.command'],
    [{ command: 'implement' }, 'params.id'],
    [{ command: 'implement', id: '--force' }, 'params.id'],
    [{ command: 'status', id: '1' }, 'params.id'],
    [{ command: 'ideas' }, 'params.ideas'],
    [{ command: 'status', cwd: '.' }, 'params.cwd'],
    [{ command: 'run', id: '1', agent: '--x' }, 'params.agent'],
    [{ command: 'status', fix: true }, 'params.fix'],
  ])('refuses %j, naming %s', async (params, path) => {
    await expect(runExecutor(wreckit, { cwd: '/repo', ...params })).rejects.toThrow(path)
  })
})

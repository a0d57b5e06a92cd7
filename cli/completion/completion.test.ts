import { execFile } from 'node:child_process'
import { chmod, mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, inject, test, vi } from 'vitest'
import { connectEngine } from '../../engine/index.js'
import { freshDatabase, urlFor } from '../../test/support/database.js'
import { createProgram } from '../program.js'
import { run } from '../testing.js'
import { candidatesFor, type LiveNames } from './candidates.js'

const database = await freshDatabase()

async function complete(...words: string[]): Promise<string[]> {
  const { stdout } = await run('complete', '--', ...words)
  return stdout
    .split('\n')
    .flatMap((line) => line.split('\t').slice(0, 1))
    .filter(Boolean)
}

describe('completion', () => {
  test.each<[string, string[], string[]]>([
    ['commands', ['pro'], ['proposals']],
    ['subcommands', ['proposals', ''], ['list', 'show', 'approve', 'reject']],
    ['options', ['worker', '--conc'], ['--concurrency', '--concurrency-of']],
    ['options that all commands take', ['worker', '--js'], ['--json']],
    ['the values of an option', ['missions', 'list', '--status', 'su'], ['succeeded']],
    ['what comes after an option with a value', ['missions', '--data-dir', 'x', 'sh'], ['show']],
    ['the values of an argument', ['completion', ''], ['bash', 'zsh', 'fish']],
    ['nothing after what is unknown', ['frobnicate', '--x', 'show', 'a'], []],
    ['nothing hidden', ['complet'], ['completion']],
  ])('knows %s', async (_, words, expected) => {
    expect(await complete(...words)).toEqual(expected)
  })

  test('knows which proposals wait, and nothing when the database is away', async () => {
    const engine = connectEngine({ databaseUrl: urlFor(database, 'service_role') })
    const template = { title: 'Needs a person', risk_level: 'high', steps: [{ kind: 'noop' }] } as const
    const { proposal_id } = await engine.createProposal({ source: 'api', template })
    await engine.createProposal({ source: 'api', template: { ...template, risk_level: 'low' } })
    await engine.close()
    vi.stubEnv('DATABASE_URL', urlFor(database, 'ops_operator'))
    expect((await run('complete', '--', 'proposals', 'approve', '')).stdout).toBe(
      `${proposal_id.slice(-6)}\tNeeds a person\n`,
    )
    expect(await complete('proposals', 'show', '')).toHaveLength(2)
    vi.stubEnv('DATABASE_URL', 'postgres://127.0.0.1:1/none')
    expect(await complete('proposals', 'approve', '')).toEqual([])
    vi.unstubAllEnvs()
  })

  test('names out of events steer no terminal', async () => {
    const engine = connectEngine({ databaseUrl: urlFor(database, 'service_role') })
    const template = { title: 'Up\x1b[1A \x9b2J', risk_level: 'high', steps: [{ kind: 'noop' }] } as const
    await engine.createProposal({ source: 'api', template })
    await engine.close()
    vi.stubEnv('DATABASE_URL', urlFor(database, 'ops_operator'))
    const { stdout } = await run('complete', '--', 'proposals', 'approve', '')
    expect(stdout).toContain('\tUp␛[1A \uFFFD2J\n')
    vi.unstubAllEnvs()
  })

  test('knows the names of the stack that --data-dir says', async () => {
    const asked: unknown[] = []
    const live: LiveNames = async (...args) => {
      asked.push(args)
      return []
    }
    const program = createProgram({ json: false })
    for (const words of [
      ['--data-dir', 'x', 'trace', ''],
      ['trace', '--data-dir=x', ''],
      ['trace', ''],
    ])
      await candidatesFor(program, words, live)
    expect(asked).toEqual([
      ['trace', { dataDir: 'x' }],
      ['trace', { dataDir: 'x' }],
      ['trace', { dataDir: undefined }],
    ])
  })

  test('works in bash', async () => {
    const folder = await mkdtemp(join(inject('testDir'), 'bash-'))
    const program = fileURLToPath(new URL('../ops-loop.mjs', import.meta.url))
    await writeFile(join(folder, 'ops-loop'), `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`)
    await chmod(join(folder, 'ops-loop'), 0o755)
    const { stdout: script } = await run('completion', 'bash')
    const typed = `${script}
      COMP_WORDS=(ops-loop proposals ap); COMP_CWORD=2; _ops_loop; echo "\${COMPREPLY[@]}"`
    const env = { ...process.env, PATH: `${folder}:${process.env.PATH}` }
    const { stdout } = await promisify(execFile)('bash', ['--norc', '-c', typed], { env })
    expect(stdout).toBe('approve\n')
  })
})

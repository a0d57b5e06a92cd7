import { chmod, copyFile, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { RunContext } from '../define.js'
import { defaultPolicy, runExecutor } from '../testing.js'
import minion from './index.js'

/** Folders of programs that cannot be removed: what they left there is not the worker's to remove. */
let areStuck = false
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>()
  const removing: typeof rm = (path, options) =>
    areStuck && !String(path).includes('-test-')
      ? Promise.reject(Object.assign(new Error(`EACCES: ${path}`), { code: 'EACCES' }))
      : real.rm(path, options)
  return { ...real, rm: removing }
})

let folder: string
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'ops-loop-minion-test-')))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** A program that policy may name; it is a Node script with these lines. */
async function script(lines: string, name = 'tool') {
  const path = join(folder, name)
  await writeFile(path, `#!${process.execPath}\n${lines}\n`)
  await chmod(path, 0o755)
  return path
}

interface MinionParams {
  command: string
  args?: string[]
  [other: string]: unknown
}

function run(params: MinionParams, allowed = [params.command], overrides: Partial<RunContext> = {}) {
  return runExecutor(minion, params, {
    policy: { ...defaultPolicy, allowed_commands: allowed },
    ...overrides,
  })
}

const TELL =
  'console.log(JSON.stringify({ args: process.argv.slice(2), cwd: process.cwd(), env: process.env }))'

async function told(params: MinionParams) {
  const { outcome } = await run(params)
  if (outcome.outcome !== 'done') throw new Error(JSON.stringify(outcome))
  return JSON.parse(JSON.parse(JSON.stringify(outcome.result)).stdout)
}

describe('a program that policy allows', () => {
  it('gets its arguments as they are: no shell reads them', async () => {
    const command = await script(TELL)
    const args = [
      '$(touch x)',
      '`id`',
      '; rm -rf /',
      '*',
      'a b',
      '',
      "'",
      '"',
      '&& echo',
      '> out',
      '-n',
      '$HOME',
    ]
    expect(await told({ command, args })).toMatchObject({ args })
  })

  it('has done its work, also when what it leaves in its folder cannot be removed', async () => {
    areStuck = true
    const { outcome } = await run({ command: await script('console.log(process.cwd())') }).finally(() => {
      areStuck = false
    })
    if (outcome.outcome !== 'done') throw new Error(JSON.stringify(outcome))
    expect(outcome).toMatchObject({ result: { exit_code: 0 } })
    await rm(JSON.parse(JSON.stringify(outcome.result)).stdout.trim(), { recursive: true })
  })

  it('sees nothing of the worker’s environment', async () => {
    process.env.OPS_TEST_MINION_SECRET = 'hunter22'
    const { env } = await told({ command: await script(TELL) })
    process.env.OPS_TEST_MINION_SECRET = undefined
    const { __CF_USER_TEXT_ENCODING: _, ...names } = env
    expect(Object.keys(names).sort()).toEqual(
      ['HOME', 'LANG', 'OPS_ATTEMPT', 'OPS_MISSION_ID', 'OPS_STEP_ID', 'PATH', 'TMPDIR'].sort(),
    )
  })

  it('runs in an empty folder that is gone afterwards', async () => {
    const { cwd } = await told({ command: await script(TELL) })
    expect(cwd).toContain('ops-loop-minion-')
    await expect(realpath(cwd)).rejects.toThrow('ENOENT')
  })

  it('runs where it is told to', async () => {
    expect(await told({ command: await script(TELL), cwd: folder })).toMatchObject({ cwd: folder })
  })

  it('reads what it is given, and may leave it unread', async () => {
    const { outcome } = await run({ command: '/bin/cat', stdin: 'hello' })
    expect(outcome).toMatchObject({ outcome: 'done', result: { exit_code: 0, stdout: 'hello' } })
    const deaf = await run({ command: '/bin/true', stdin: 'x'.repeat(900_000) })
    expect(deaf.outcome).toMatchObject({ outcome: 'done' })
  })

  it('is tried again when it fails, with its last words', async () => {
    const command = await script('console.error("first\\nno such branch"); process.exit(3)')
    expect((await run({ command })).outcome).toMatchObject({
      outcome: 'retry',
      error: 'exit code 3: first no such branch',
      meta: { exit_code: 3 },
    })
  })

  it('is not quoted from the middle of a word: nobody would know half a secret', async () => {
    const words = `the key is sk_live_1234567890abcdef ${'and so on '.repeat(48)}`
    expect(words.trim().slice(-500)).toMatch(/^(?!sk_)\w{4,}/)
    const { outcome } = await run({
      command: await script(`console.error(${JSON.stringify(words)}); process.exit(1)`),
    })
    expect(outcome).toMatchObject({ outcome: 'retry', error: expect.stringMatching(/and so on$/) })
    expect(JSON.stringify(outcome)).not.toContain('abcdef')
  })

  it('is tried again when something kills it', async () => {
    const command = await script('process.kill(process.pid, "SIGKILL")')
    expect((await run({ command })).outcome).toMatchObject({ outcome: 'retry', error: 'ended by SIGKILL' })
  })

  it('has its output cut between two words, not its work', async () => {
    const command = await script(
      `require('fs').writeSync(1, 'half-a-secret '.repeat(30000)); require('fs').writeSync(2, 'e'.repeat(300000)); require('fs').writeFileSync(process.argv[2], 'done')`,
    )
    const proof = join(folder, 'proof')
    const { outcome } = await run({ command, args: [proof] })
    expect(outcome).toMatchObject({
      outcome: 'done',
      // 14 does not divide 65,536; what has no words loses 4,000 characters.
      result: { stdout: 'half-a-secret '.repeat(4681), stderr: 'e'.repeat(61_536), truncated: true },
    })
    expect(await readFile(proof, 'utf8')).toBe('done')
  })

  it('may write what no database can store', async () => {
    const command = await script('process.stdout.write(Buffer.from([65, 0, 255, 66]))')
    expect((await run({ command })).outcome).toMatchObject({ result: { stdout: 'A\uFFFD\uFFFDB' } })
  })

  it('that cannot be run fails for good', async () => {
    const command = await script('')
    await chmod(command, 0o644)
    expect((await run({ command })).outcome).toMatchObject({
      outcome: 'fail',
      error: expect.stringContaining('EACCES'),
    })
    const nowhere = await run({ command: '/bin/true', cwd: join(folder, 'gone') })
    expect(nowhere.outcome).toMatchObject({ outcome: 'fail', error: expect.stringContaining('ENOENT') })
  })
})

describe('a program that is told to stop', () => {
  /** What has ended, and only waits for its parent to notice, is not alive. */
  const isAlive = async (pid: number) => {
    const { stdout } = await execa({ reject: false })`ps -o stat= -p ${pid}`
    return stdout !== '' && !stdout.startsWith('Z')
  }
  const alive = (pids: number[]) => Promise.all(pids.map(isAlive))

  /** A program that starts another one, which ignores SIGTERM; both write their ids and wait for ever. */
  const FAMILY = `
    const { spawn } = require('node:child_process')
    const { writeFileSync, renameSync } = require('node:fs')
    const [file, how] = process.argv.slice(2)
    const child = spawn(process.execPath, ['-e', 'process.on("SIGTERM", () => {}); console.log(1); setInterval(() => {}, 1000)'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    child.stdout.once('data', () => {
      writeFileSync(file + '.new', JSON.stringify([process.pid, child.pid]))
      renameSync(file + '.new', file)
      if (how === 'leave') process.exit(0)
    })
    if (how === 'stubborn') process.on('SIGTERM', () => {})
  `

  async function pidsIn(file: string): Promise<number[]> {
    for (;;) {
      const text = await readFile(file, 'utf8').catch(() => undefined)
      if (text) return JSON.parse(text)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  it.each(['obedient', 'stubborn'])('is gone, with its %s family, when the step ends', async (how) => {
    const command = await script(FAMILY)
    const file = join(folder, 'pids')
    const stop = new AbortController()
    const ended = run({ command, args: [file, how] }, [command], { signal: stop.signal })
    const pids = await pidsIn(file)
    expect(await alive(pids)).toEqual([true, true])
    stop.abort(new Error('timed out'))
    await expect(ended).rejects.toThrow('timed out')
    await expect.poll(() => alive(pids)).toEqual([false, false])
  })

  it('leaves nothing running when it ends by itself', async () => {
    const command = await script(FAMILY)
    const file = join(folder, 'pids')
    const { outcome } = await run({ command, args: [file, 'leave'] })
    expect(outcome).toMatchObject({ outcome: 'done' })
    const pids = await pidsIn(file)
    await expect.poll(() => alive(pids)).toEqual([false, false])
  })

  it('is not started at all when the signal came first', async () => {
    const command = await script('require("fs").writeFileSync(process.argv[2], "")')
    const proof = join(folder, 'proof')
    const signal = AbortSignal.abort(new Error('too late'))
    await expect(run({ command, args: [proof] }, [command], { signal })).rejects.toThrow('too late')
    await expect(readFile(proof)).rejects.toThrow('ENOENT')
  })
})

describe('a program is refused for good', () => {
  const refused = async (command: string, allowed: string[], problem: string) =>
    expect((await run({ command }, allowed)).outcome).toMatchObject({
      outcome: 'fail',
      error: expect.stringContaining(problem),
      meta: { code: 'OPS_012' },
    })

  it('when policy names none', () => refused('/bin/true', [], 'is not allowed'))

  it.each(['/bin/../bin/true', '//bin/true', '/bin/./true', '/bin/true/'])(
    'when it only leads to an allowed one: %s',
    (command) => refused(command, ['/bin/true'], 'is not allowed'),
  )

  it('when it is a link of another name to an allowed one', async () => {
    await symlink('/bin/true', join(folder, 'alias'))
    await refused(join(folder, 'alias'), ['/bin/true'], 'is not allowed')
  })

  it.each(['/bin/sh', '/bin/bash'])('when it is a shell, allowed or not: %s', (shell) =>
    refused(shell, [shell], 'is a shell'),
  )

  it('when it is a link to a shell', async () => {
    await symlink('/bin/sh', join(folder, 'tool'))
    await refused(join(folder, 'tool'), [join(folder, 'tool')], 'is a shell')
  })

  it('when anybody could have changed it, its folder, or the folder it links into', async () => {
    const open = await mkdtemp(join(tmpdir(), 'ops-loop-minion-open-'))
    try {
      const command = await script(TELL)
      await chmod(command, 0o777)
      await refused(command, [command], 'anybody could have changed')
      await copyFile('/bin/true', join(open, 'true'))
      await chmod(open, 0o777)
      await refused(join(open, 'true'), [join(open, 'true')], 'anybody could have changed')
      await symlink(join(open, 'true'), join(folder, 'linked'))
      await refused(join(folder, 'linked'), [join(folder, 'linked')], 'anybody could have changed')
    } finally {
      await rm(open, { recursive: true })
    }
  })

  it('when it is not there, or a folder', async () => {
    await refused(join(folder, 'gone'), [join(folder, 'gone')], 'does not exist')
    await refused(folder, [folder], 'is not a file')
  })
})

describe('params', () => {
  it.each([
    [{}, 'params.command'],
    [{ command: 'git' }, 'params.command'],
    [{ command: '/bin/true', args: 'x' }, 'params.args'],
    [{ command: '/bin/true', args: ['a\0b'] }, 'params.args.0'],
    [{ command: '/bin/true', cwd: 'here' }, 'params.cwd'],
    [{ command: '/bin/true', env: {} }, 'env'],
  ])('refuses %j, naming %s', async (params, path) => {
    await expect(runExecutor(minion, params)).rejects.toThrow(path)
  })
})

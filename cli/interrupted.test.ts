/** Ctrl-C in the middle of a backup, and of its check: nothing half done is left. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, inject, test } from 'vitest'
import { dump } from '../backup/dump.js'
import { findProcesses } from '../embedded/processes.js'
import { freshDatabase, type TestDatabase } from '../test/support/database.js'
import { onFileEnd } from '../test/support/fileEnd.js'

const program = fileURLToPath(new URL('ops-loop.mjs', import.meta.url))

let db: TestDatabase
let folder: string
beforeAll(async () => {
  db = await freshDatabase()
  folder = await mkdtemp(join(inject('testDir'), 'interrupted-'))
})

function run(env: Record<string, string>, ...args: string[]) {
  const child = spawn(process.execPath, [program, ...args], {
    env: { ...process.env, DATABASE_URL: db.url, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const ended = once(child, 'exit').then(([code, signal]) => signal ?? code)
  onFileEnd(async () => void child.kill('SIGKILL'))
  return { interrupt: () => child.kill('SIGINT'), ended }
}

/** All files below a folder; none where there is no such folder. */
const files = (path: string) => readdir(path, { recursive: true }).catch(() => [])

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(20)
}

test('a backup', async () => {
  const to = join(folder, 'new', 'copy')
  await db.sql.begin(async (sql) => {
    await sql`lock table ops_missions in access exclusive mode`
    const backup = run({}, 'backup', '--out', to)
    await until(async () => (await files(to)).length > 0)
    backup.interrupt()
    expect(await backup.ended).toBe('SIGINT')
  })
  expect(await files(folder)).toEqual([])
})

test('a check in a throwaway Postgres', async () => {
  const [copy, temporary] = [join(folder, 'whole'), join(folder, 'tmp')]
  await dump(db.url, copy)
  await mkdir(temporary)
  const check = run({ TMPDIR: temporary }, 'restore', copy, '--verify')
  const ours = async () => (await files(temporary)).filter((path) => path.startsWith('ops-loop-verify-'))
  await until(async () => (await ours()).some((path) => path.endsWith('postmaster.pid')))
  const [dataDir = ''] = await ours()
  check.interrupt()
  expect(await check.ended).toBe('SIGINT')
  expect(await ours()).toEqual([])
  expect(await findProcesses('postgres', '-D', join(temporary, dataDir, 'postgres'))).toEqual([])
})

import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import postgres from 'postgres'
import { expect, test } from 'vitest'
import { freshDataDir } from '../test/support/dataDir.js'
import { type Program, runProgram } from '../test/support/program.js'
import { removeDataDir } from './orphans.js'
import { dataPaths } from './paths.js'
import { startPostgres } from './postgres.js'
import { startPostgrest } from './postgrest.js'
import { findProcesses } from './processes.js'

/** Database and PostgREST under a parent of their own, which says the database's URL. */
function holdStack(dataDir: string): Promise<Program> {
  return runProgram('holdStack.ts', dataDir)
}

async function survivors(dataDir: string): Promise<number> {
  const { cluster, postgrestConfig } = dataPaths(dataDir)
  const found = await Promise.all([
    findProcesses('postgres', '-D', cluster),
    findProcesses('postgrest', postgrestConfig),
  ])
  return found.flat().length
}

test('a start after SIGKILL stops what was left running and finds all committed data', async () => {
  const dataDir = await freshDataDir()
  const parent = await holdStack(dataDir)
  const before = postgres(parent.line, { max: 1 })
  await before`create table kept (n integer)`
  await before`insert into kept values (42)`
  await parent.kill()
  expect(await survivors(dataDir)).toBe(2)
  await before.end()

  const log: string[] = []
  const server = await startPostgres({ dataDir, fast: true, log: (line) => log.push(line) })
  const after = postgres(server.url(), { max: 1 })
  expect([...(await after`select n from kept`)]).toEqual([{ n: 42 }])
  await after.end()
  expect(log).toEqual([
    expect.stringMatching(/^Stopping Postgres \(process \d+\), which an earlier run left behind$/),
  ])
  const databaseUrl = server.authenticatorUrl()
  const rest = await startPostgrest({
    dataDir,
    databaseUrl,
    jwtSecret: 'x'.repeat(32),
    log: (line) => log.push(line),
  })
  expect(log[1]).toMatch(/^Stopping PostgREST \(process \d+\), which an earlier run left behind$/)
  await rest.stop()
  await server.stop()
  expect(await survivors(dataDir)).toBe(0)
})

test('while the parent lives, nobody else gets at the folder; then it can be deleted, but for foreign files', async () => {
  const dataDir = await freshDataDir()
  const parent = await holdStack(dataDir)
  const inUse = { code: 'OPS_001', message: `${dataDir} is in use by process ${parent.pid}.` }
  await expect(startPostgres({ dataDir })).rejects.toMatchObject(inUse)
  await expect(removeDataDir(dataDir)).rejects.toMatchObject(inUse)
  expect(await survivors(dataDir)).toBe(2)

  await parent.kill()
  await writeFile(join(dataDir, 'notes.txt'), 'mine')
  await removeDataDir(dataDir)
  expect(await survivors(dataDir)).toBe(0)
  expect(await readdir(dataDir)).toEqual(['notes.txt'])
})

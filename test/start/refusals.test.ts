import { mkdir, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { dataPaths } from '../../embedded/paths.js'
import { freePort } from '../../embedded/ports.js'
import { stackPaths } from '../../embedded/stackPaths.js'
import { freshDataDir } from '../support/dataDir.js'
import { onFileEnd } from '../support/fileEnd.js'
import { partsOf, start } from './program.js'

/** How a start that is refused ends: what it says, and that it leaves nothing running. */
async function refusal(dataDir: string, ...args: string[]): Promise<string> {
  const running = await start(dataDir, '--no-demo', '--once', ...args)
  expect(await running.ended()).toBe(1)
  expect(await partsOf(dataDir)).toEqual([])
  expect(running.errors.join('\n')).not.toMatch(/^ +at /m)
  return running.errors.join('\n')
}

test('a taken port: what to do instead, and no folder is left', async () => {
  const server = createServer()
  onFileEnd(async () => void server.close())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' ? String(address?.port) : ''
  const folder = await freshDataDir()
  expect(await refusal(join(folder, 'new', 'data'), '--port', port)).toMatch(
    new RegExp(`Port ${port} of 127\\.0\\.0\\.1 is taken.*\n.*npm start -- --port`),
  )
  expect(await readdir(folder)).toEqual([])
  for (const option of ['--rest-port', '--postgres-port'])
    expect(await refusal(folder, option, port)).toMatch(
      new RegExp(`Port ${port} of 127\\.0\\.0\\.1 is taken.*\n.*npm start -- ${option}`),
    )
  expect(await readdir(folder)).toEqual([])
})

test('one port for two parts', async () => {
  const folder = await freshDataDir()
  const port = String(await freePort())
  expect(await refusal(folder, '--port', port, '--postgres-port', port)).toMatch(
    new RegExp(`Port ${port} cannot be that of the control plane and of Postgres.*\n.*--postgres-port`),
  )
  expect(await readdir(folder)).toEqual([])
})

test("a stranger's folder is neither used nor deleted", async () => {
  const dataDir = await freshDataDir()
  await writeFile(join(dataDir, 'thesis.txt'), 'years of work')
  for (const args of [[], ['--reset']]) {
    expect(await refusal(dataDir, ...args)).toMatch(/is not a data folder of Ops Loop: it holds thesis\.txt/)
  }
  expect(await readdir(dataDir)).toEqual(['thesis.txt'])
})

test("a folder of another user's", async () => {
  const dataDir = await freshDataDir()
  await writeFile(stackPaths(dataDir).marker, '{}')
  // What root may not do either: make files in what is not there, and read a folder as a file.
  const { lock } = dataPaths(dataDir)
  await symlink('/nowhere/at/all', lock)
  await mkdir(stackPaths(dataDir).connection)
  expect(await refusal(dataDir)).toMatch(/cannot be written to: .*\n.*Run as the user who made it/)
  await rm(lock)
})

test('a file in the place of the folder', async () => {
  const file = join(await freshDataDir(), 'file')
  await writeFile(file, '')
  expect(await refusal(file)).toMatch(/is not a data folder of Ops Loop: it is not a folder/)
})

test('wrong usage ends with 2 and says what is right', async () => {
  const running = await start(await freshDataDir(), '--port', 'many')
  expect(await running.ended()).toBe(2)
  expect(running.errors.join('\n')).toMatch(/whole number from 1 to 65535/)
})

test('a database that is no database, and one that is damaged: --reset is the way out', async () => {
  const dataDir = await freshDataDir()
  await writeFile(stackPaths(dataDir).marker, '{}')
  const { cluster } = dataPaths(dataDir)
  await mkdir(cluster)
  await writeFile(join(cluster, 'junk'), '')
  expect(await refusal(dataDir)).toMatch(/is damaged: .*no PG_VERSION.*\n.*npm start -- --reset/)

  const reset = await start(dataDir, '--reset', '--no-demo', '--once')
  expect(await reset.ended(), reset.output()).toBe(0)
  await truncate(join(cluster, 'global', 'pg_control'), 100)
  expect(await refusal(dataDir)).toMatch(
    /Postgres ended as soon as it was started(.|\n)*npm start -- --reset/,
  )
})

test('damaged secrets', async () => {
  const dataDir = await freshDataDir()
  await writeFile(stackPaths(dataDir).marker, '{}')
  await writeFile(stackPaths(dataDir).secrets, '{')
  expect(await refusal(dataDir)).toMatch(/secrets\.json is damaged.*\n.*Delete it/)
})

import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { freshDataDir } from '../test/support/dataDir.js'
import { runProgram } from '../test/support/program.js'
import { lockDataDir } from './lock.js'
import { dataPaths } from './paths.js'

test('of processes that come at the same moment, no two get the folder', async () => {
  const dataDir = await freshDataDir()
  const contenders = await Promise.all(Array.from({ length: 4 }, () => runProgram('holdLock.ts', dataDir)))
  const holders = contenders.filter((contender) => contender.line === 'taken')
  expect(holders.length).toBeLessThanOrEqual(1)
})

test('a holder keeps everybody out, itself too, until it releases the folder', async () => {
  const dataDir = await freshDataDir()
  const lock = await lockDataDir(dataDir)
  const message = `${dataDir} is in use by process ${process.pid}.`
  await expect(lockDataDir(dataDir)).rejects.toMatchObject({ code: 'OPS_001', message })
  expect((await runProgram('holdLock.ts', dataDir)).line).toBe(message)
  await lock.release()
  await (await lockDataDir(dataDir)).release()
})

test('a killed holder is no holder', async () => {
  const dataDir = await freshDataDir()
  const holder = await runProgram('holdLock.ts', dataDir)
  expect(holder.line).toBe('taken')
  await holder.kill()
  const lock = await lockDataDir(dataDir)
  expect(await readdir(dataPaths(dataDir).lock)).toHaveLength(1)
  await lock.release()
})

test("a process that merely has a dead holder's id is no holder", async () => {
  const dataDir = await freshDataDir()
  const { lock } = dataPaths(dataDir)
  await mkdir(lock)
  await writeFile(join(lock, `${process.ppid}-1`), '')
  await (await lockDataDir(dataDir)).release()
})

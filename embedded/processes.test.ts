import { join } from 'node:path'
import { expect, inject, test } from 'vitest'
import { findProcesses, processStart, spawnProcess, stopProcesses } from './processes.js'

const logFile = () => join(inject('testDir'), 'processes.log')
const stubborn = "process.on('SIGUSR2', () => {}); setInterval(() => {}, 1000)"

/** A Node program of its own process group, found again by the name that it is given as an argument. */
function run(script: string, name: string) {
  return spawnProcess(process.execPath, ['-e', script, name], { logFile: logFile() })
}

test('a program that ignores the first signal gets the next', async () => {
  const program = run(stubborn, 'stubborn')
  await program.stop(['SIGUSR2', 'SIGKILL'], 2000)
  expect(program.running).toBe(false)
})

test('a program is found by exactly its first arguments, until it has ended', async () => {
  const script = 'setInterval(() => {}, 1000)'
  const program = run(script, '/data/one')
  expect(await findProcesses('node', '-e', script, '/data/one')).toEqual([program.pid])
  expect(await findProcesses('node', '-e', script, '/data/')).toEqual([program.pid])
  expect(await findProcesses('node', '-e', script, '/data/on')).toEqual([])
  expect(await findProcesses('one')).toEqual([program.pid])
  expect(await findProcesses('node', '/data/one')).toEqual([])
  expect(await processStart(program.pid)).toBeDefined()
  expect(await stopProcesses([program.pid], ['SIGTERM'], 5000)).toBe(true)
  expect(await findProcesses('node', '-e', script, '/data/one')).toEqual([])
})

test('a program that cannot be executed ends with the reason', async () => {
  const program = spawnProcess('/nowhere/postgres', [], { logFile: logFile() })
  expect(await program.ended).toMatchObject({ error: { code: 'ENOENT' } })
})

import { readFile, stat } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { stackPaths } from '../../embedded/stackPaths.js'
import { freshDataDir } from '../support/dataDir.js'
import { command, partsOf, type Running, start } from './program.js'

const dataDir = await freshDataDir()
let running: Running

/** The command that the summary suggests, without `npx ops-loop`, and its id. */
async function suggestion(verb: string): Promise<string[]> {
  const line = await running.line(new RegExp(`npx ops-loop ${verb}`))
  const [suggested = ''] = line.split('#')
  return suggested.trim().split(/\s+/).slice(2)
}

test('from an empty folder to the summary: every stage of the loop is told, with each kind of verdict', async () => {
  running = await start(dataDir)
  await running.line(/Ctrl-C stops/)
  const output = running.output()
  for (const line of [
    /• event {5}github:issues\.opened {2}Codertocat\/Hello-World/,
    /→ pattern {3}new-issue/,
    /→ proposal {2}auto-approved {2}Triage issue #1/,
    /→ proposal {2}waiting for approval {2}Security alert #10/,
    /→ proposal {2}capped {2}Triage issue #1: .* \(limit for source "github-issues": 3 of 3/,
    /✓ step {6}triage \(noop\)/,
    /✓ mission {3}succeeded {2}Announce Codertocat\/Hello-World 0\.0\.1 {2}3 steps/,
    /↩ event {5}mission:succeeded/,
    /events {9}28 from outside, 12 that came back; 8 answered by a pattern/,
    /proposals {6}5 auto-approved, 2 waiting for approval, 1 capped/,
    /missions {7}5 succeeded/,
    /steps {10}11 succeeded/,
  ]) {
    expect(output).toMatch(line)
  }
  expect(output).not.toContain('\u001b')
  expect(running.errors).toEqual([])
})

test('a chain is told causes before effects', () => {
  const told = running.lines.filter((line) => /^[0-9a-f]{6} /.test(line))
  const chain = told.filter((line) =>
    line.startsWith(told.find((line) => /new-release/.test(line))?.slice(0, 6) ?? '-'),
  )
  expect(chain.map((line) => line.slice(8, 18).trim())).toEqual([
    '• event',
    '→ pattern',
    '→ proposal',
    '✓ step',
    '✓ step',
    '✓ step',
    '↩ event',
    '✓ mission',
    '↩ event',
  ])
})

test('secrets are for their owner alone, and are not printed', async () => {
  for (const file of [stackPaths(dataDir).secrets, stackPaths(dataDir).connection]) {
    expect((await stat(file)).mode & 0o777).toBe(0o600)
  }
  const secrets: object = JSON.parse(await readFile(stackPaths(dataDir).secrets, 'utf8'))
  for (const secret of Object.values(secrets)) expect(running.output()).not.toContain(secret)
  expect(running.output()).not.toMatch(/postgres:\/\/\w+:/)
})

test('the three suggested commands work', async () => {
  const approved = await command(dataDir, ...(await suggestion('proposals approve')))
  expect(approved).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^approved “Security alert/) })
  await running.line(/→ proposal {2}approved by .* Security alert/)
  await running.line(/✓ mission {3}succeeded {2}Security alert/)

  const emitted = await command(dataDir, ...(await suggestion('events emit')))
  expect(emitted).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/^event [0-9a-f-]{36} stored$/),
  })
  await running.line(/✓ mission {3}succeeded {2}CI failed in you\/your-app: tests/)

  const traced = await command(dataDir, ...(await suggestion('trace')))
  expect(traced.exitCode).toBe(0)
  for (const line of [
    /^ {2}event github:/m,
    /^ {4}reaction /m,
    /^ {6}proposal /m,
    /^▸ {7}mission /m,
    /run attempt 1/,
  ]) {
    expect(traced.stdout).toMatch(line)
  }
})

test('another worker beside it works under the login that the loop expects of a worker', async () => {
  expect(await command(dataDir, 'worker', '--executors', 'examples/executors')).toMatchObject({
    exitCode: 0,
    stdout: 'No queued steps',
  })
  expect(await command(dataDir, 'invariants', 'run', 'runtime_identity')).toMatchObject({ exitCode: 0 })
})

test('a second start beside it is refused, and says what runs', async () => {
  const second = await start(dataDir)
  expect(await second.ended()).toBe(1)
  expect(second.output()).toMatch(
    new RegExp(`Ops Loop runs in ${dataDir} already: process ${running.pid}, http://127`),
  )
  expect(second.output()).toMatch(/Stop it with Ctrl-C/)
})

test('a part that falls is started again', async () => {
  const [worker = 0] = (await partsOf(dataDir)).slice(1)
  process.kill(worker, 'SIGKILL')
  await running.line(/The worker, see .*worker\.log, has ended \(SIGKILL\): starting it again/)
  await running.line(/The worker, .* runs again/)
})

test('SIGINT stops everything in order and ends well', async () => {
  expect(await running.end('SIGINT')).toBe(0)
  expect(running.lines.at(-1)).toBe('Stopped.')
  expect(await partsOf(dataDir)).toEqual([])
  const { exitCode, stderr } = await command(dataDir, 'status')
  expect({ exitCode, stderr }).toEqual({
    exitCode: 1,
    stderr: expect.stringMatching(/No npm start is running on .*\n.*Run npm start/),
  })
})

test('the next start continues where it stopped', async () => {
  running = await start(dataDir, '--once', '--json')
  expect(await running.ended()).toBe(0)
  // At most one of each: a canary of the monitor may have been under way.
  expect(running.output()).toMatch(/Continuing: [01] events to match, [01] steps to run, 1 proposals waiting/)
  expect(running.output()).not.toMatch(/Playing/)
  expect(await partsOf(dataDir)).toEqual([])
})

test('--reset begins anew', async () => {
  running = await start(dataDir, '--once', '--json', '--reset')
  expect(await running.ended()).toBe(0)
  const summary: unknown = JSON.parse(await running.line(/^\{"summary"/))
  expect(summary).toMatchObject({
    summary: {
      totals: {
        events: 28,
        proposals: { 'auto-approved': 5, 'waiting for approval': 2, capped: 1 },
        missions: { succeeded: 5 },
      },
    },
  })
})

import { createServer, type Server } from 'node:http'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { connectEngine } from '../engine/index.js'
import { freshDatabase, urlFor } from '../test/support/database.js'
import { onFileEnd } from '../test/support/fileEnd.js'
import { githubDeliveries } from './deliveries.js'
import { demoFor, playDemo } from './demo.js'

const deliveries = githubDeliveries()
const signal = new AbortController().signal

/** Something that takes deliveries, answering with these statuses one after the other. */
async function receiver(...statuses: number[]) {
  const received: { event: unknown; body: string }[] = []
  const server: Server = createServer(async (request, response) => {
    received.push({ event: request.headers['x-github-event'], body: await text(request) })
    response.writeHead(statuses[received.length - 1] ?? 202).end('{"error":"as the test wants"}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onFileEnd(async () => void server.close())
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : 0
  return { url: `http://127.0.0.1:${port}`, received }
}

test('every delivery has an id of its own, the same each time', () => {
  const ids = deliveries.map(({ id }) => id)
  expect(new Set(ids).size).toBe(deliveries.length)
  expect(githubDeliveries().map(({ id }) => id)).toEqual(ids)
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/)
})

test('deliveries come in order, each repeated while the control plane is away', async () => {
  const { url, received } = await receiver(202, 503)
  await playDemo(deliveries.slice(0, 2), { url, webhookSecret: 'secret', signal })
  expect(received.map(({ event }) => event)).toEqual(['star', 'push', 'push'])
  expect(JSON.parse(received[2]?.body ?? '')).toEqual(deliveries[1]?.payload)
})

test('a delivery that is refused ends the demonstration', async () => {
  const { url } = await receiver(401)
  await expect(playDemo(deliveries, { url, webhookSecret: 'secret', signal })).rejects.toMatchObject({
    code: 'OPS_001',
    message: expect.stringContaining('401'),
  })
})

test('what is left of the demonstration is all of it, until its last delivery has arrived', async () => {
  const engine = connectEngine({ databaseUrl: urlFor(await freshDatabase(), 'service_role') })
  onFileEnd(() => engine.close())
  const [first, last] = [deliveries[0], deliveries.at(-1)]
  expect(await demoFor(engine)).toHaveLength(deliveries.length)
  await engine.emitEvents([{ type: first?.type ?? '', data: { delivery_id: first?.id } }])
  expect(await demoFor(engine)).toHaveLength(deliveries.length)
  await engine.emitEvents([{ type: last?.type ?? '', data: { delivery_id: last?.id } }])
  expect(await demoFor(engine)).toEqual([])
})

test('a database with other events gets no demonstration', async () => {
  const engine = connectEngine({ databaseUrl: urlFor(await freshDatabase(), 'service_role') })
  onFileEnd(() => engine.close())
  await engine.emitEvents([{ type: 'deploy:finished' }])
  expect(await demoFor(engine)).toEqual([])
})

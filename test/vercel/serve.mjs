// Serves the folder that `vercel build` made as Vercel does, by its own config.json: published files first, then its rewrites, then the
// function, in whose folder it runs. Plain JavaScript, so that nothing stands between Node and what was built.
// Usage: node test/vercel/serve.mjs <.vercel/output>; prints its address, and serves until its input ends.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pathToFileURL } from 'node:url'

const output = resolve(process.argv[2] ?? '')
const { routes } = JSON.parse(readFileSync(join(output, 'config.json'), 'utf8'))

/** The function that a path names, if it names one. */
async function functionAt(path) {
  const folder = join(output, 'functions', `${path}.func`)
  if (!existsSync(folder)) return undefined
  const { handler } = JSON.parse(readFileSync(join(folder, '.vc-config.json'), 'utf8'))
  process.chdir(folder)
  const built = await import(pathToFileURL(join(folder, handler)).href)
  return built.default
}

/** What answers a path: a published file or a function, of the path itself or of what the routes rewrite it to. */
async function find(path) {
  const file = join(output, 'static', path)
  if (existsSync(file) && statSync(file).isFile()) {
    return { fetch: () => new Response(readFileSync(file), { headers: { 'x-published': 'yes' } }) }
  }
  const named = await functionAt(path)
  if (named) return named
  for (const { src, dest, check } of routes) {
    const match = src && new RegExp(src).exec(path)
    if (!match) continue
    const target = dest.replace(/\$(\d)/g, (_, n) => match[n] ?? '')
    const rewritten = check && (await functionAt(target))
    if (rewritten) return rewritten
  }
  return { fetch: () => new Response('NOT_FOUND', { status: 404 }) }
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url ?? '/', 'https://ops.example')
  const { method = 'GET', headers } = request
  const body = method === 'GET' || method === 'HEAD' ? {} : { body: Readable.toWeb(request), duplex: 'half' }
  const { fetch } = await find(decodeURIComponent(url.pathname))
  const answer = await fetch(new Request(url, { method, headers, ...body }))
  response.writeHead(answer.status, Object.fromEntries(answer.headers))
  response.end(Buffer.from(await answer.arrayBuffer()))
})
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
process.stdin.on('end', () => process.exit(0)).resume()

// A real MCP server whose tools show how calls can end. As a program it speaks over stdio.
import { writeFileSync } from 'node:fs'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import { z } from 'zod'

const said = (text) => ({ content: [{ type: 'text', text }] })
const never = () => new Promise(() => setInterval(() => undefined, 1000))

export function createMcpServer(die = () => process.exit(3)) {
  const server = new McpServer({ name: 'stand-in', version: '1.0.0' })
  server.registerTool('echo', { inputSchema: { text: z.string() } }, ({ text }, { _meta }) =>
    said(`${text} (${_meta?.['ops-loop/idempotency-key']})`),
  )
  server.registerTool(
    'add',
    { inputSchema: { a: z.number(), b: z.number() }, outputSchema: { sum: z.number() } },
    ({ a, b }) => ({ ...said(String(a + b)), structuredContent: { sum: a + b } }),
  )
  server.registerTool('complain', {}, () => ({ ...said('the disk is full'), isError: true }))
  server.registerTool('picture', {}, () => ({
    content: [
      { type: 'text', text: 'see' },
      { type: 'image', data: Buffer.from('png').toString('base64'), mimeType: 'image/png' },
    ],
  }))
  server.registerTool('environment', {}, () => said(JSON.stringify(process.env)))
  server.registerTool('die', {}, die)
  server.registerTool('die_harmlessly', { annotations: { readOnlyHint: true } }, die)
  server.registerTool('hang', { inputSchema: { file: z.string().optional() } }, ({ file }) => {
    // It does not go by itself when it is asked to.
    process.on('SIGTERM', () => undefined)
    if (file) writeFileSync(file, String(process.pid))
    return never()
  })
  server.registerTool('forbidden', {}, () => said('you should not see this'))
  return server
}

if (process.argv[1] === import.meta.filename) {
  if (process.argv[2] === 'broken') {
    process.stderr.write('cannot read my configuration\n')
    process.exit(1)
  }
  await createMcpServer().connect(new StdioServerTransport())
}

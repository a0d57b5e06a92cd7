import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'

/** @param die what the tools do that end in the middle of a call */
export function createMcpServer(die?: () => Promise<never>): McpServer

metadata name = 'Logs of drkit'
metadata description = 'A workspace for the access log of the store.'

import { tags as tagged } from '../types.bicep'

@description('Required. The name of the workspace.')
param name string

@description('Required. The region of the workspace.')
param location string

@description('Required. The tags of the resources.')
param tags tagged

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    retentionInDays: 90
    sku: {
      name: 'PerGB2018'
    }
    features: {
      disableLocalAuth: true
    }
  }
}

@description('The id of the workspace.')
output workspaceId string = workspace.id

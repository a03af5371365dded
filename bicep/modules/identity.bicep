metadata name = 'Identities of drkit'
metadata description = 'A user-assigned identity for each service connection. It signs in by federation, so there is no secret.'

import { connection, identity, tags as tagged } from '../types.bicep'

@description('Required. The prefix of every name.')
param namePrefix string

@description('Required. The region of the identities.')
param location string

@description('Required. The service connections, at most one for each role.')
param connections connection[]

@description('Required. The tags of the resources.')
param tags tagged

resource identities 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = [
  for one in connections: {
    name: '${namePrefix}-${one.role}'
    location: location
    tags: tags
  }
]

resource federated 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2024-11-30' = [
  for (one, index) in connections: {
    parent: identities[index]
    name: 'azure-pipelines'
    properties: {
      issuer: one.issuer
      subject: one.subject
      audiences: ['api://AzureADTokenExchange']
    }
  }
]

@description('The identities with their roles.')
output identities identity[] = [
  for (one, index) in connections: {
    role: one.role
    principalId: identities[index].properties.principalId
    clientId: identities[index].properties.clientId
  }
]

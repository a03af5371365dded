metadata name = 'Grants on a resource group'
metadata description = 'A role that holds where things are made, or where hosts are.'

import { grant, identity, ids } from '../types.bicep'

@description('Required. The role of those who are granted something here.')
param role string

@description('Required. The name of the definition that they are granted: the operator has one for each kind of place.')
param definition string

@description('Required. Role name to the id of its definition.')
param definitionIds ids

@description('Required. People, groups and identities that are granted roles.')
param grants grant[]

@description('Required. The identities that were made, with their roles.')
param identities identity[]

@description('Required. Object ids of those who use what is moved here: they may read.')
param users string[]

var reader = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'acdd72a7-3385-48ef-bd42-f606fba81ae7')
var given = filter(grants, one => one.role == role)

resource assigned 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for one in given: {
    name: guid(resourceGroup().id, one.principalId, definition)
    properties: {
      roleDefinitionId: definitionIds[definition]
      principalId: one.principalId
      principalType: one.principalType
    }
  }
]

resource made 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for one in identities: if (one.role == role) {
    name: guid(resourceGroup().id, one.principalId, definition)
    properties: {
      roleDefinitionId: definitionIds[definition]
      principalId: one.principalId
      principalType: 'ServicePrincipal'
    }
  }
]

resource reading 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for user in users: {
    name: guid(resourceGroup().id, user, 'reader')
    properties: {
      roleDefinitionId: reader
      principalId: user
    }
  }
]

metadata name = 'Grants on a resource group'
metadata description = 'The roles that hold where things are made, and where hosts are.'

import { grant, identity, ids } from '../types.bicep'

@description('Required. The roles that are granted here.')
param roles string[]

@description('Required. Role name to the id of its definition.')
param definitionIds ids

@description('Required. People, groups and identities that are granted roles.')
param grants grant[]

@description('Required. The identities that were made, with their roles.')
param identities identity[]

@description('Required. Object ids of those who use what is moved here: they may read.')
param users string[]

var reader = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'acdd72a7-3385-48ef-bd42-f606fba81ae7')
var given = filter(grants, one => contains(roles, one.role))

resource assigned 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for one in given: {
    name: guid(resourceGroup().id, one.principalId, one.role)
    properties: {
      roleDefinitionId: definitionIds[one.role]
      principalId: one.principalId
      principalType: one.principalType
    }
  }
]

resource made 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for one in identities: if (contains(roles, one.role)) {
    name: guid(resourceGroup().id, one.principalId, one.role)
    properties: {
      roleDefinitionId: definitionIds[one.role]
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
